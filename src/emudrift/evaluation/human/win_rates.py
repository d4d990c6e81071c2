"""Win, tie and loss rates by majority vote, with intervals over prompts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import binomtest

from emudrift.errors import InputError
from emudrift.evaluation.findings import BETTER, INCONCLUSIVE, WORSE
from emudrift.evaluation.human.agreement import alpha_interval, krippendorff_alpha
from emudrift.evaluation.human.study import APPEAL, FAITHFULNESS, Key, Pair, Question
from emudrift.evaluation.intervals import holm
from emudrift.evaluation.tables import RATE_COLUMNS

CONFIDENCE = 0.95
CHOICES: dict[Question, tuple[str, ...]] = {
    APPEAL: ("model", "baseline", "tie"),
    FAITHFULNESS: ("model", "baseline", "both", "neither"),
}


def rate_table(votes: pd.DataFrame, raters: pd.DataFrame, key: Key, note: str = "") -> pd.DataFrame:
    """human_evaluation.csv: one row per question and pair that received votes.

    A prompt is a win if more than half of its raters chose the model, a loss if more than half chose the baseline, and a tie
    otherwise. Among the ties, `both` and `neither` count those in which more than half gave that answer (text faithfulness
    only), and `no_majority` those in which no answer was given by more than half.
    Rates are shares of prompts with Wilson intervals; `net` is win - loss; `p` is from a two-sided sign test of wins against
    losses, `p_holm` is adjusted over all rows, and `finding` is based on `p_holm` at 0.05. Raters with `used` = no are
    excluded.

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
        "prompts_asked": len(key.prompts),
        "raters_asked": len(key.raters),
        "raters_failed": int((raters["passed"] == "no").sum()),
        "raters_excluded": int((raters["used"] == "no").sum()),
        "votes_asked": len(key.prompts) * len(key.raters),
        "study": key.study,
        "note": note,
    }
    rows = []
    for question, choices in CHOICES.items():
        for pair in key.pairs:
            ours = used[
                (used["question"] == question) & (used["baseline_arm"] == pair.baseline_arm) & (used["arm"] == pair.arm)
            ]
            if not ours.empty:
                rows.append(_row(ours, question, pair, choices, key.seed) | of_study)
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        row["finding"] = INCONCLUSIVE if adjusted >= 1 - CONFIDENCE else BETTER if row["net"] > 0 else WORSE
    return pd.DataFrame(rows, columns=list(RATE_COLUMNS)).astype(RATE_COLUMNS)


def _row(votes: pd.DataFrame, question: Question, pair: Pair, choices: Sequence[str], seed: int) -> dict[str, Any]:
    """One row, without the columns that depend on other rows. `votes`: rated items of one question and pair."""
    table = pd.crosstab(votes["prompt_id"], votes["choice"]).reindex(columns=list(choices), fill_value=0)
    counts = table.sort_index().to_numpy()
    outcome = majority(counts)
    n, wins, losses = len(outcome), int((outcome == 1).sum()), int((outcome == -1).sum())
    net_low, net_high = net_interval(wins, losses, n)
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
        "net": (wins - losses) / n,
        "net_low": net_low,
        "net_high": net_high,
        "confidence": CONFIDENCE,
        "p": binomtest(wins, wins + losses).pvalue if wins + losses else 1.0,
        "alpha": krippendorff_alpha(counts),
        "alpha_low": low,
        "alpha_high": high,
    }
    for name, number in (("win", wins), ("tie", n - wins - losses), ("loss", losses)):
        interval = binomtest(number, n).proportion_ci(CONFIDENCE, method="wilson")
        row |= {name: number / n, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row


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


def net_interval(wins: int, losses: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of (wins - losses) / n over n prompts, each won, lost or tied.

    Bonett & Price 2012, Journal of Educational and Behavioral Statistics 37, 479-488: a Wald interval after adding one win
    and one loss, which maintains coverage when one of them is rare.
    """
    win, loss = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
    margin = float(ndtri((1 + confidence) / 2)) * float(np.sqrt((win + loss - (win - loss) ** 2) / (n + 2)))
    return max(win - loss - margin, -1.0), min(win - loss + margin, 1.0)
