"""Ranking of three or more arms from votes on pairs: Davidson's strengths, with intervals over prompts and raters."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from emudrift.evaluation.findings import BETTER, INCONCLUSIVE, WORSE
from emudrift.evaluation.human.columns import RANKED_PAIR_COLUMNS, RANKING_COLUMNS
from emudrift.evaluation.human.davidson import Comparisons, Strengths, fit_strengths
from emudrift.evaluation.human.study import ANSWERS, Key
from emudrift.evaluation.human.two_way import sum_interval
from emudrift.evaluation.human.votes import NO_PREFERENCE
from emudrift.evaluation.human.win_rates import ONE_RATER
from emudrift.evaluation.intervals import CONFIDENCE, Estimate, simultaneous

Array = np.ndarray
LEAST_ARMS = 3
MISFIT = "model does not fit"
"""Finding of two arms whose own net vote differs from the model's beyond chance: it says nothing about them."""


@dataclass(frozen=True)
class Ballot:
    """Votes (n,) on pairs of arms, the prompt and the rater of each."""

    comparisons: Comparisons
    prompts: Array
    raters: Array

    def padded(self, whole_prompts: bool) -> "Ballot":
        """With two more prompts for each compared pair of arms, one won by each of the two.

        Votes that all agree are not certain to, and strengths of arms that never lost stay finite.

        Args:
            whole_prompts: with as many votes as other prompts have, as in `two_way_interval`; otherwise with one vote each.
        """
        of, prompts, raters = (
            self.comparisons,
            *(np.unique(each, return_inverse=True)[1] for each in (self.prompts, self.raters)),
        )
        rows, count = [], int(prompts.max())
        for first, second in combinations(range(of.arms), 2):
            of_pair = np.isin(of.first, [first, second]) & np.isin(of.second, [first, second])
            if of_pair.any():
                votes = max(round(of_pair.sum() / len(np.unique(prompts[of_pair]))), 1) if whole_prompts else 1
                busiest = np.argsort(-np.bincount(raters[of_pair]), kind="stable")[:votes]
                for outcome in (1, -1):
                    count += 1
                    rows += [[first, second, outcome, rater, count] for rater in busiest.tolist()]
        more = np.array(rows).T
        return Ballot(
            Comparisons(
                of.arms, *(np.concatenate(each) for each in zip((of.first, of.second, of.outcome), more, strict=False))
            ),
            np.concatenate([prompts, more[4]]),
            np.concatenate([raters, more[3]]),
        )


@dataclass(frozen=True)
class Ranking:
    """Strengths of arms with what each vote adds to them.

    `fit` is of `ballot`, which has single votes added: whole prompts would pull the strengths of arms that are far apart too near
    to each other (`bench/ranking_coverage.py`). `guarded` is of `guard`, which has those: net votes are bounded, and a few votes
    that all agree are no finding.
    """

    fit: Strengths
    ballot: Ballot
    guarded: Strengths
    guard: Ballot

    def contrast(self, weights: Array) -> Estimate | None:
        """Σ weights × log strengths (weights sum to 0) with its interval over prompts and raters; None for one rater."""
        if len(np.unique(self.ballot.raters)) < 2:
            return None
        estimate = float(weights @ self.fit.log_strengths)
        return sum_interval(
            estimate, self.fit.influence[:, :-1] @ weights, self.ballot.prompts, self.ballot.raters, CONFIDENCE
        )

    def difference(self, first: int, second: int) -> Estimate | None:
        """The log odds that the first is preferred to the second, among votes for one of the two."""
        weights = np.zeros(self.ballot.comparisons.arms)
        weights[first], weights[second] = 1, -1
        return self.contrast(weights)

    def net_vote(self, first: int, second: int) -> Estimate | None:
        """The net vote of a pair of arms that the model expects, for the first, which findings rest on; None for one rater.

        It is 0 where the strengths are equal. Far from 0, where log odds have no limit, their standard errors grow faster than
        they do (Hauck & Donner 1977, Journal of the American Statistical Association 72, 851-853); this has limits.
        """
        if len(np.unique(self.ballot.raters)) < 2:
            return None
        expected, slopes = self.guarded.expected_net_vote(first, second)
        parts = self.guarded.influence @ slopes
        return sum_interval(expected, parts, self.guard.prompts, self.guard.raters, CONFIDENCE)

    def misfit(self, first: int, second: int) -> Estimate | None:
        """By how much the net vote of a pair of arms differs from the model's; None if they never met, or for one rater."""
        of = self.ballot.comparisons
        net = np.where(of.first == first, of.outcome, -of.outcome)
        met = np.isin(of.first, [first, second]) & np.isin(of.second, [first, second])
        if not met.any() or len(np.unique(self.ballot.raters)) < 2:
            return None
        given = float(net[met].mean())
        expected, slopes = self.fit.expected_net_vote(first, second)
        parts = np.where(met, (net - given) / met.sum(), 0) - self.fit.influence @ slopes
        return sum_interval(given - expected, parts, self.ballot.prompts, self.ballot.raters, CONFIDENCE)

    def above_average(self, arm: int) -> Estimate | None:
        weights = np.full(self.ballot.comparisons.arms, -1 / self.ballot.comparisons.arms)
        weights[arm] += 1
        return self.contrast(weights)


def rank(ballot: Ballot) -> Ranking:
    """Raises ValueError if some arms were never compared with the others."""
    padded, guard = (ballot.padded(whole_prompts) for whole_prompts in (False, True))
    return Ranking(fit_strengths(padded.comparisons), padded, fit_strengths(guard.comparisons), guard)


def ranking_tables(
    votes: pd.DataFrame, raters: pd.DataFrame, key: Key, note: str = "", min_votes: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ranking.csv, a row for each arm, and ranking_pairs.csv, a row for each two arms; empty with fewer than three arms.

    Arms that were compared with each other, directly or through others, are ranked together, as a `group` of its own; groups with
    fewer than three arms are left to human_evaluation.csv. Intervals, p values and findings of ranking_pairs.csv hold together
    for all its rows (Bonferroni); `p_misfit` tests whether the pair's own net vote is the model's. `rank_low` and `rank_high`
    are the ranks that these findings leave to an arm.

    Args:
        min_votes: prompts with fewer votes for a question and pair are left out there.
    """
    used = votes[(votes["kind"] == "rated") & votes["rater"].isin(raters.loc[raters["used"] == "yes", "rater"])]
    unit = used.groupby(["question", "baseline_arm", "arm", "prompt_id"])
    used = used[unit["rater"].transform("size") >= min_votes]
    arms = {arm: (model, pair.guidance_scale) for pair in key.pairs
            for arm, model in ((pair.baseline_arm, pair.baseline), (pair.arm, pair.model))}  # fmt: skip
    of_arms: list[dict[str, Any]] = []
    of_pairs: list[dict[str, Any]] = []
    net_votes: list[Estimate | None] = []
    misfits: list[Estimate | None] = []
    for question in ANSWERS:
        ours = used[used["question"] == question]
        for number, names in enumerate(_groups(ours, list(arms)), 1):
            here = ours[ours["arm"].isin(names) & ours["baseline_arm"].isin(names)]
            ballot = _ballot(here, names)
            ranking = rank(ballot)
            same = {"question": question, "group": number, "study": key.study, "note": note}
            of_arms += _arm_rows(ranking, here, names, arms, same)
            for first, second in combinations(range(len(names)), 2):
                net_votes.append(ranking.net_vote(second, first))
                misfits.append(ranking.misfit(second, first))
                of_pairs.append(same | _pair_row(ranking, ballot, names, first, second))
    _together(of_pairs, net_votes, misfits)
    _ranks(of_arms, of_pairs)
    return (
        pd.DataFrame(of_arms, columns=list(RANKING_COLUMNS)).astype(RANKING_COLUMNS),
        pd.DataFrame(of_pairs, columns=list(RANKED_PAIR_COLUMNS)).astype(RANKED_PAIR_COLUMNS),
    )


def _groups(votes: pd.DataFrame, arms: Sequence[str]) -> list[list[str]]:
    """The names of arms that were compared with each other, at least three of them, in the order of the key."""
    labels = _ballot(votes, arms).comparisons.groups()
    groups = [[arms[n] for n in np.flatnonzero(labels == label).tolist()] for label in dict.fromkeys(labels.tolist())]
    return [names for names in groups if len(names) >= LEAST_ARMS]


def _ballot(votes: pd.DataFrame, arms: Sequence[str]) -> Ballot:
    number = {arm: n for n, arm in enumerate(arms)}
    outcome = votes["choice"].map({"model": 1, "baseline": -1} | dict.fromkeys(NO_PREFERENCE, 0))
    first, second = (votes[name].map(number).to_numpy(dtype=int) for name in ("arm", "baseline_arm"))
    comparisons = Comparisons(len(arms), first, second, outcome.to_numpy(dtype=int))
    return Ballot(comparisons, votes["prompt_id"].to_numpy(), votes["rater"].to_numpy())


def _arm_rows(
    ranking: Ranking,
    votes: pd.DataFrame,
    names: Sequence[str],
    arms: dict[str, tuple[str, float | None]],
    same: dict[str, Any],
) -> list[dict[str, Any]]:
    rows = []
    separated = _ballot(votes, names).comparisons.separated()
    for number, name in enumerate(names):
        mine = votes[(votes["arm"] == name) | (votes["baseline_arm"] == name)]
        found = ranking.above_average(number)
        model, scale = arms[name]
        rows.append(
            same
            | {"arm": name, "model": model, "guidance_scale": scale, "arms": len(names)}
            | {"prompts": mine["prompt_id"].nunique(), "raters": mine["rater"].nunique(), "votes": len(mine)}
            | {"strength": float(ranking.fit.log_strengths[number]), "confidence": CONFIDENCE}
            | ({} if found is None else {"strength_low": found.low, "strength_high": found.high})
            | {"separated": "yes" if separated else "no"}
        )
    return rows


def _pair_row(ranking: Ranking, ballot: Ballot, names: Sequence[str], first: int, second: int) -> dict[str, Any]:
    """Without what depends on other rows. The net vote is for the second, as everywhere for `arm` against `baseline_arm`."""
    of = ballot.comparisons
    direct = [
        of.outcome[(of.first == a) & (of.second == b)] * sign
        for a, b, sign in ((second, first, 1), (first, second, -1))
    ]
    given = np.concatenate(direct)
    difference = float(ranking.fit.log_strengths[second] - ranking.fit.log_strengths[first])
    row = {"baseline_arm": names[first], "arm": names[second], "direct_votes": len(given), "difference": difference}
    row |= {"net_vote": float(given.mean()) if len(given) else float("nan"), "share": 1 / (1 + np.exp(-difference))}
    row |= {"finding": ONE_RATER, "net_vote_fitted": ranking.fit.expected_net_vote(second, first)[0]}
    found = ranking.difference(second, first)
    return row if found is None else row | {"difference_low": found.low, "difference_high": found.high}


def _together(
    rows: list[dict[str, Any]], net_votes: Sequence[Estimate | None], misfits: Sequence[Estimate | None]
) -> None:
    """Adds what holds for all rows together, and findings."""
    tested = [(row, each) for row, each in zip(rows, misfits, strict=True) if each is not None]
    for (row, _), (_, adjusted) in zip(tested, simultaneous([each for _, each in tested]), strict=True):
        row["p_misfit"] = adjusted
    found = [(row, each) for row, each in zip(rows, net_votes, strict=True) if each is not None]
    for (row, each), (wide, adjusted) in zip(found, simultaneous([each for _, each in found]), strict=True):
        row |= {"net_vote_fitted_low": max(each.low, -1), "net_vote_fitted_high": min(each.high, 1), "p": each.p_value}
        row |= {"standard_error": each.standard_error, "degrees": each.degrees, "confidence": each.confidence}
        row |= {"low_simultaneous": max(wide.low, -1), "high_simultaneous": min(wide.high, 1), "p_adjusted": adjusted}
        row["finding"] = BETTER if wide.low > 0 else WORSE if wide.high < 0 else INCONCLUSIVE
        if row.get("p_misfit", 1) < 1 - CONFIDENCE:
            row["finding"] = MISFIT


def _ranks(arms: list[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> None:
    """Adds rank, and the ranks that findings leave open: 1 + arms found better, to all arms − those found worse."""
    for row in arms:
        same = [each for each in arms if (each["question"], each["group"]) == (row["question"], row["group"])]
        ours = [each for each in pairs if (each["question"], each["group"]) == (row["question"], row["group"])]
        better, worse = (
            sum(each["finding"] == said and each[side] == row["arm"] for each in ours for said, side in found)
            for found in (((BETTER, "baseline_arm"), (WORSE, "arm")), ((BETTER, "arm"), (WORSE, "baseline_arm")))
        )
        row["rank"] = 1 + sum(each["strength"] > row["strength"] for each in same)
        row |= {"rank_low": 1 + better, "rank_high": row["arms"] - worse}
