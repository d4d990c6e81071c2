"""The mean net vote with its interval over prompts and raters, which findings rest on, and majorities as a description."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from emudrift.errors import InputError
from emudrift.evaluation.findings import BETTER, INCONCLUSIVE, WORSE
from emudrift.evaluation.human.agreement import alpha_interval, krippendorff_alpha
from emudrift.evaluation.human.columns import RATE_COLUMNS
from emudrift.evaluation.human.study import APPEAL, FAITHFULNESS, Item, Key, Pair, Question
from emudrift.evaluation.human.two_way import spread, two_way_interval
from emudrift.evaluation.human.votes import left_share, net_votes
from emudrift.evaluation.intervals import CONFIDENCE, Estimate, simultaneous

ONE_RATER = "one rater"
"""Finding of what a single person rated: nothing is claimed, because what others would say is not known."""
CHOICES: dict[Question, tuple[str, ...]] = {
    APPEAL: ("model", "baseline", "tie"),
    FAITHFULNESS: ("model", "baseline", "both", "neither"),
}


def rate_table(votes: pd.DataFrame, raters: pd.DataFrame, key: Key, note: str = "", min_votes: int = 1) -> pd.DataFrame:
    """human_evaluation.csv: one row per question and pair that received votes.

    `net_vote` is the mean over votes of 1 (for the model), -1 (for the baseline) and 0 (ties), with its interval over prompts
    and raters, plain and simultaneous for all rows (Bonferroni), as are p values; `finding` goes by the simultaneous ones. With
    one rater there is neither interval nor finding. `prompt_sd`, `rater_sd` and `vote_sd` are the standard deviations behind it;
    `left` is the share of votes for the left image among those for one of the two.

    The rest describes these raters: a prompt is a win if more than half of its raters chose the model, a loss if more than half
    chose the baseline, and a tie otherwise. Among the ties, `both` and `neither` count those in which more than half gave that
    answer (text faithfulness only), and `no_majority` those in which no answer was given by more than half. Rates are shares of
    prompts with Wilson intervals. Raters with `used` = no are excluded.

    Args:
        min_votes: prompts with fewer votes for a question and pair are left out of its row; `prompts_dropped` counts them.

    Raises:
        InputError: no votes remain.
    """
    used = votes[(votes["kind"] == "rated") & votes["rater"].isin(raters.loc[raters["used"] == "yes", "rater"])]
    if used.empty:
        raise InputError(
            "no votes remain: either no file contains any, or all raters failed the attention checks and are excluded by "
            "human_evaluation: exclude_failed"
        )
    of_study = {
        "prompt_set": key.prompt_set,
        "prompts_asked": len(key.prompts),
        "raters_failed": int((raters["passed"] == "no").sum()),
        "raters_excluded": int((raters["used"] == "no").sum()),
        "split": key.split,
        "study": key.study,
        "note": note,
    }
    rows, intervals = [], []
    for question, choices in CHOICES.items():
        for number, pair in enumerate(key.pairs):
            ours = used[
                (used["question"] == question) & (used["baseline_arm"] == pair.baseline_arm) & (used["arm"] == pair.arm)
            ]
            each = ours.groupby("prompt_id")["rater"].transform("size")
            dropped, ours = ours.loc[each < min_votes, "prompt_id"].nunique(), ours[each >= min_votes]
            if not ours.empty:
                rows.append(_row(ours, question, pair, choices, key.seed) | of_study | {"prompts_dropped": dropped})
                asked = [_asked(items, question, number) for items in key.raters]
                rows[-1] |= {"raters_asked": sum(each > 0 for each in asked), "votes_asked": sum(asked)}
                intervals.append(_net_vote(rows[-1], ours))
    if not rows:
        raise InputError(
            f"no votes remain: no prompt has as many votes as human_evaluation: min_votes: {min_votes} asks for"
        )
    found = [(row, interval) for row, interval in zip(rows, intervals, strict=True) if interval]
    together = simultaneous([interval for _, interval in found])
    for (row, _), (wide, adjusted) in zip(found, together, strict=True):
        row |= {"p_adjusted": adjusted, "low_simultaneous": max(wide.low, -1), "high_simultaneous": min(wide.high, 1)}
        row["finding"] = BETTER if wide.low > 0 else WORSE if wide.high < 0 else INCONCLUSIVE
    return pd.DataFrame(rows, columns=list(RATE_COLUMNS)).astype(RATE_COLUMNS)


def _asked(items: Sequence[Item], question: Question, pair: int) -> int:
    """The number of prompts that a rater is to judge for a question and pair."""
    return sum((item.question, item.kind, item.pair) == (question, "rated", pair) for item in items)


def _row(votes: pd.DataFrame, question: Question, pair: Pair, choices: Sequence[str], seed: int) -> dict[str, Any]:
    """One row, without the columns that depend on other rows. `votes`: rated items of one question and pair."""
    table = pd.crosstab(votes["prompt_id"], votes["choice"]).reindex(columns=list(choices), fill_value=0)
    counts = table.sort_index().to_numpy()
    outcome = majority(counts)
    n, wins, losses = len(outcome), int((outcome == 1).sum()), int((outcome == -1).sum())
    low, high = alpha_interval(counts, seed)
    row = pair.model_dump() | {
        "question": question,
        "prompts": n,
        "raters": votes["rater"].nunique(),
        "votes": len(votes),
        "wins": wins,
        "ties": n - wins - losses,
        "losses": losses,
        **{answer: _majorities(table, answer) for answer in ("both", "neither")},
        "no_majority": int((2 * counts.max(axis=1) <= counts.sum(axis=1)).sum()),
        "confidence": CONFIDENCE,
        "left": left_share(votes["answer"]),
        "alpha": krippendorff_alpha(counts),
        "alpha_low": low,
        "alpha_high": high,
    }
    for name, number in (("win", wins), ("tie", n - wins - losses), ("loss", losses)):
        interval = binomtest(number, n).proportion_ci(CONFIDENCE, method="wilson")
        row |= {name: number / n, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row


def _net_vote(row: dict[str, Any], votes: pd.DataFrame) -> Estimate | None:
    """Adds the mean net vote to the row, with its interval; returns it without the ends' limits. None for one rater."""
    values = net_votes(votes)
    prompts, raters = votes["prompt_id"].to_numpy(), votes["rater"].to_numpy()
    behind = spread(values, prompts, raters)
    row |= {"net_vote": values.mean(), "finding": ONE_RATER}
    row |= {"prompt_sd": behind.prompts, "rater_sd": behind.raters, "vote_sd": behind.rest}
    if row["raters"] < 2:
        return None
    found = two_way_interval(values, prompts, raters, CONFIDENCE)
    row |= {"net_vote_low": max(found.low, -1), "net_vote_high": min(found.high, 1), "p": found.p_value}
    row |= {"standard_error": found.standard_error, "degrees": found.degrees}
    return found


def _majorities(table: pd.DataFrame, answer: str) -> int:
    """Number of prompts (rows) for which more than half gave this answer (a column, if the question has it)."""
    return int((2 * table[answer] > table.sum(axis=1)).sum()) if answer in table else 0


def majority(counts: np.ndarray) -> np.ndarray:
    """1 (win), 0 (tie) or -1 (loss) for each prompt, (n,), by absolute majority.

    Args:
        counts: (n, k) votes for the model, for the baseline, and for each no-preference answer.
    """
    needed = counts.sum(axis=1)
    return np.where(2 * counts[:, 0] > needed, 1, np.where(2 * counts[:, 1] > needed, -1, 0))
