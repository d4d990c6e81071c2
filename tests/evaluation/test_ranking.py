"""Rankings of three and more arms: known truths, coverage by simulation, groups of arms, and finite numbers always."""

import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from ratings import key_of, three_arms

sys.path.insert(0, str(ROOT / "bench"))
import ranking_coverage

from emudrift.evaluation.human.davidson import Comparisons
from emudrift.evaluation.human.ranking import Ballot, rank, ranking_tables
from emudrift.evaluation.human.study import Key
from emudrift.evaluation.human.two_way import sum_interval
from emudrift.evaluation.human.vote_files import Vote
from emudrift.evaluation.human.votes import rater_table, vote_table


def tables_of(key: Key, answer_of, raters=None, min_votes: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    given = {
        rater: [Vote(item=n, question=item.question, answer=found) for n, item in enumerate(key.raters[rater - 1])
                if (found := answer_of(rater, item))]
        for rater in raters or range(1, len(key.raters) + 1)
    }  # fmt: skip
    votes = vote_table(given, key)
    return ranking_tables(votes, rater_table(votes, given, key, exclude_failed=False), key, min_votes=min_votes)


def prefers(order: str, share: float = 1.0):
    """Answers of raters who prefer the earlier of two arms on a share of the prompts, the later on the rest."""

    def answer_of(rater, item):
        sides = sorted(("left", "right"), key=lambda side: order.index(getattr(item, side)[0]))
        return sides[(int(item.prompt_id) * 7 + rater) % 40 >= 40 * share]

    return answer_of


@pytest.fixture(scope="module")
def key():
    return key_of(**three_arms({"raters": 6, "split": 2, "attention_checks": 0}))


def test_a_known_order_comes_out_from_a_part_of_all_votes(key):
    ranking, pairs = tables_of(key, prefers("CAB", 0.85))
    for question in ("appeal", "faithfulness"):
        rows = ranking[ranking["question"] == question].sort_values("rank")
        assert rows["model"].tolist() == ["C", "A", "B"]
        assert (rows["strength_low"] < rows["strength"]).all()
        assert rows["strength"].sum() == pytest.approx(0)
        assert rows["votes"].tolist() == [2 * 40 * 3] * 3
        assert (rows["rank_low"] <= rows["rank"]).all()
        assert (rows["rank"] <= rows["rank_high"]).all()
    assert len(pairs) == 6
    appeal = pairs[pairs["question"] == "appeal"].set_index(["baseline_arm", "arm"])
    names = {arm[0]: arm for arm in ranking["arm"]}
    # Of A and B, A wins 85 in 100.
    row = appeal.loc[(names["A"], names["B"])]
    assert row["finding"] == "worse"
    assert row["net_vote"] == pytest.approx(-0.7, abs=0.03)
    assert row["direct_votes"] == 120
    assert row["share"] == pytest.approx(1 / (1 + np.exp(-row["difference"])))
    assert row["share"] < 0.3
    assert row["low_simultaneous"] < row["net_vote_fitted_low"] < row["net_vote_fitted"] < row["high_simultaneous"] < 0
    assert (pairs["p_adjusted"] >= pairs["p"]).all()


def test_whatever_raters_answer_the_numbers_are_finite(key):
    """All for one arm, ties only, one vote for each pair: and never certainty."""
    answers = {
        "unanimous": prefers("ABC"),
        "ties": lambda rater, item: "tie" if item.question == "appeal" else "both",
        "left": lambda rater, item: "left",
        "few": lambda rater, item: prefers("ABC")(rater, item) if item.prompt_id in ("000", "001") else None,
    }
    for name, answer_of in answers.items():
        ranking, pairs = tables_of(key, answer_of)
        numbers = pd.concat([ranking.select_dtypes("number").stack(), pairs.select_dtypes("number").stack()])
        assert np.isfinite(numbers).all(), name
        assert set(ranking["separated"]) == {"no" if name == "left" else "yes"}, name
        # Who presses A throughout cancels out: sides are balanced.
        assert name == "left" or (pairs["difference_high"] - pairs["difference_low"] > 0.5).all(), name
    assert set(tables_of(key, answers["few"])[1]["finding"]) == {"inconclusive"}
    assert set(tables_of(key, answers["ties"])[1]["finding"]) == {"inconclusive"}


def test_arms_that_never_met_are_ranked_apart_and_two_arms_are_not_ranked(key):
    models = [*three_arms()["models"], {"name": "D", "generator": "folder", "images": "demo/D", "guidance_scale": 1}]
    models += [{"name": name, "generator": "folder", "images": f"demo/{name}", "guidance_scale": 1} for name in "EFGH"]
    apart = key_of(**three_arms({"attention_checks": 0}, models=models, guidance_scales=[1, 3], baseline="A"))
    ranking, pairs = tables_of(apart, prefers("ABCDEFGH", 0.9), raters=[1, 2])
    appeal = ranking[ranking["question"] == "appeal"]
    assert appeal.groupby("group")["model"].apply("".join).tolist() == ["ABC", "DEFGH"]
    assert len(pairs) == 2 * (3 + 10)
    assert tables_of(key_of({"attention_checks": 0}), lambda rater, item: "left")[0].empty

    def without_b(rater, item):
        return None if "B" in (item.left[0], item.right[0]) else prefers("ABC", 0.9)(rater, item)

    assert tables_of(key, without_b)[0].empty, "two arms with votes are left to human_evaluation.csv"


def test_through_others_arms_are_compared_that_never_met(key):
    ab, bc = 0, 2

    def chain(rater, item):
        return prefers("ABC", 0.8)(rater, item) if item.pair in (ab, bc) else None

    ranking, pairs = tables_of(key, chain)
    row = pairs[(pairs["question"] == "appeal") & (pairs["direct_votes"] == 0)].iloc[0]
    assert np.isnan(row["net_vote"])
    assert row["difference"] == pytest.approx(-2 * np.log(4), rel=0.1)
    assert ranking["group"].eq(1).all()


def test_a_circle_is_no_ranking_and_the_table_says_so(key):
    """A is preferred to B, B to C, C to A, on 30 of 40 prompts: every strength is 0, and no pair is found equal for it."""
    better = {"AB": "A", "BC": "B", "AC": "C"}

    def circle(rater, item):
        first = better["".join(sorted(item.left[0] + item.right[0]))]
        wins = (int(item.prompt_id) * 7 + rater) % 40 < 30
        return "left" if (item.left[0] == first) == wins else "right"

    ranking, pairs = tables_of(key, circle)
    assert ranking["strength"].to_numpy() == pytest.approx(0, abs=0.05)
    assert set(pairs["finding"]) == {"model does not fit"}
    assert pairs["p_misfit"].max() < 0.001
    assert tables_of(key, prefers("ABC", 0.7))[1]["p_misfit"].min() > 0.05


def test_a_clear_winner_is_found_although_log_odds_have_no_limit(key):
    """A is preferred on 39 of 40 prompts: the interval of the net vote excludes 0 as clearly as that of the log odds is wide."""
    _, pairs = tables_of(key, prefers("ABC", 0.975))
    row = pairs[pairs["question"] == "appeal"].iloc[0]
    assert row["finding"] == "worse"
    assert -1 <= row["low_simultaneous"] < row["net_vote_fitted"] < row["high_simultaneous"] < -0.5


def test_one_rater_has_strengths_without_intervals(key):
    ranking, pairs = tables_of(key, prefers("ABC", 0.7), raters=[1])
    assert ranking[["strength_low", "strength_high"]].isna().all(axis=None)
    assert set(pairs["finding"]) == {"one rater"}
    assert ranking["rank_high"].tolist() == [3] * 6


def test_prompts_with_too_few_votes_are_left_out(key):
    def answer_of(rater, item):
        return prefers("ABC", 0.7)(rater, item) if rater > 2 or item.prompt_id != "005" else None

    assert tables_of(key, answer_of, min_votes=3)[0]["prompts"].tolist() == [39] * 6


def test_repeated_votes_of_a_rater_on_a_prompt_are_no_more_evidence():
    """Each vote given three times: the interval of the sum stays what it was."""
    rng = np.random.default_rng(0)
    prompts, raters = (each.ravel() for each in np.indices((20, 5)))
    parts = rng.normal(size=100)
    parts -= parts.mean()
    once = sum_interval(0.0, parts, prompts, raters, 0.95)
    thrice = sum_interval(0.0, np.tile(parts / 3, 3), np.tile(prompts, 3), np.tile(raters, 3), 0.95)
    assert thrice.standard_error == pytest.approx(once.standard_error)
    assert thrice.degrees == once.degrees


@pytest.mark.parametrize(("design", "arms", "spread"), [("split", "three", 0.3), ("complete", "equal", 0.6)])
def test_intervals_cover_the_truth(design, arms, spread):
    """The benchmark, 150 studies: three binomial standard errors below .93 are allowed."""
    row = ranking_coverage.study(design, arms, spread, 150)
    assert row["coverage"] >= 0.87, row
    assert row["simultaneous"] >= 0.88, row
    assert row["largest_bias"] < 0.1, row


def test_the_truth_of_the_benchmark_is_that_of_very_many_votes():
    truth, tie = ranking_coverage.true_strengths(np.array([0.0, 0.3, 0.8]), 0.3)
    draws = [
        ranking_coverage.draw("complete", np.array([0.0, 0.3, 0.8]), 0.3, np.random.default_rng(n)) for n in range(300)
    ]
    many = Ballot(
        Comparisons(3, *(np.concatenate([getattr(each.comparisons, name) for each in draws])
                         for name in ("first", "second", "outcome"))),
        np.concatenate([each.prompts for each in draws]),
        np.concatenate([each.raters for each in draws]),
    )  # fmt: skip
    fit = rank(many).fit
    assert fit.log_strengths - fit.log_strengths[0] == pytest.approx(truth, abs=0.05)
    assert fit.log_tie == pytest.approx(tie, abs=0.05)
