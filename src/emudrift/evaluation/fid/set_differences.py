"""Differences between sets of prompts: whether a model loses more on one set than on another, tested as such."""

import math
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from emudrift.evaluation.findings import IDENTICAL
from emudrift.evaluation.intervals import CONFIDENCE, Estimate, simultaneous, t_interval
from emudrift.evaluation.tables import SET_DIFFERENCE_COLUMNS, frame, rows_of

METHOD = "difference of differences, sets independent, Welch's t interval"
LARGER, SMALLER, OPEN = "larger", "smaller", "inconclusive"


def set_differences(
    comparison: pd.DataFrame,
    degrees: Mapping[tuple[Any, ...], int],
    shared: Callable[[str, str], bool] = lambda one, other: False,
) -> pd.DataFrame:
    """For each comparison that two sets have, at the largest N of each: its difference on one set less that on the other.

    That a finding holds on one set and not on the other does not show that the sets differ; this does. Sets have different
    prompts, so their errors are independent: variances add up, and the t interval has Welch's degrees of freedom (Welch 1947,
    Biometrika 34, 28-35), rounded down. Sets that share real images, and so their errors, are left out, as are comparisons of
    too few images. `finding` goes by the intervals that hold together for all rows (Bonferroni).

    Args:
        comparison: comparison.csv.
        degrees: of freedom of each arm's distance, by arm, extractor, reference selection and N.
        shared: whether two sets have real images or prompts in common, besides a reference of the same key.

    Returns:
        SET_DIFFERENCE_COLUMNS.
    """
    found: list[tuple[dict[str, Any], Estimate]] = []
    for one, other in combinations(dict.fromkeys(comparison["prompt_set"]), 2):
        if shared(one, other):
            continue
        theirs = {_key(row): row for row in _largest(comparison, other)}
        for a in _largest(comparison, one):
            b = theirs.get(_key(a))
            if b is None or a.reference_key == b.reference_key or not (a.reliable and b.reliable):
                continue
            found.append(
                _row(a, b, *(degrees[each.arm, each.extractor, each.reference_selection, each.n] for each in (a, b)))
            )
    for (row, _), (wide, p) in zip(found, simultaneous([estimate for _, estimate in found]), strict=True):
        row |= {"p_adjusted": p, "low_simultaneous": wide.low, "high_simultaneous": wide.high}
        row["finding"] = LARGER if wide.low > 0 else SMALLER if wide.high < 0 else OPEN
    return frame([row for row, _ in found], SET_DIFFERENCE_COLUMNS)


def _largest(comparison: pd.DataFrame, name: str) -> list[Any]:
    ours = comparison[(comparison["prompt_set"] == name) & (comparison["finding"] != IDENTICAL)]
    return rows_of(ours[ours["n"] == ours["n"].max()])


def _key(row: Any) -> tuple[Any, ...]:
    """What both sides share. A NaN is not equal to itself."""
    scale = None if math.isnan(row.guidance_scale) else row.guidance_scale
    return row.extractor, row.reference_selection, row.baseline, row.model, scale


def _row(a: Any, b: Any, degrees: int, other_degrees: int) -> tuple[dict[str, Any], Estimate]:
    variances = a.standard_error**2, b.standard_error**2
    error = math.sqrt(sum(variances))
    parts = variances[0] ** 2 / degrees + variances[1] ** 2 / other_degrees
    welch = math.floor(sum(variances) ** 2 / parts) if parts else degrees + other_degrees
    estimate = t_interval(a.difference_jackknife - b.difference_jackknife, error, welch, CONFIDENCE, METHOD)
    return {
        "prompt_set": a.prompt_set,
        "other_set": b.prompt_set,
        "baseline": a.baseline,
        "model": a.model,
        "guidance_scale": a.guidance_scale,
        "extractor": a.extractor,
        "weights": a.weights,
        "reference_selection": a.reference_selection,
        "n": a.n,
        "other_n": b.n,
        "difference": a.difference_jackknife,
        "other_difference": b.difference_jackknife,
        "between": estimate.estimate,
        "low": estimate.low,
        "high": estimate.high,
        "confidence": estimate.confidence,
        "method": estimate.method,
        "standard_error": error,
        "degrees": welch,
        "p": estimate.p_value,
        "note": a.note,
    }, estimate
