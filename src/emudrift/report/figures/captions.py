"""Figure captions, for figures/ and the page; does not import matplotlib (slow)."""

from collections.abc import Sequence

import pandas as pd

from emudrift.config.experiment import SELECTIONS
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION

FID_CAPTION = (
    "FID against the number of generated images N; lower is better. Curves (left): plain FID, which is biased upwards "
    "at small N; the bias depends on the model, so curves should not be compared with each other at small N. "
    "Points with bars (right, same axis), both with {confidence} intervals ({method}): bias-corrected FID at the "
    "largest N, and FID∞, the intercept of a linear fit in 1/N. Colour: guidance scale. Line style and marker: model."
)

FLOOR_CAPTION = (
    " Dotted: {floors}, the real images encoded and decoded by the model's VQ, a lower bound for this tokenizer."
)

BAND_CAPTION = (
    " Bands: intervals of the bias-corrected FID at smaller N, down to "
    f"{MIN_N_PER_DIMENSION:g} times the number of feature dimensions."
)

SHADED_CAPTION = (
    f" Shaded: N below {MIN_N_PER_DIMENSION:g} times the number of feature dimensions, where absolute values are unreliable and "
    "no difference is claimed."
)

DIFFERENCE_CAPTION = (
    "FID difference from {baseline} at N = {n}: bias-corrected estimates. Thick lines: {confidence} intervals ({method}; "
    "paired by prompt); thin lines: simultaneous intervals, which hold together for all comparisons shown. Values right of 0: "
    "worse than {baseline}. Filled markers: worse or better; hollow markers: any other finding. Grey, below each: "
    "difference in FID∞ with its interval."
)

MARGIN_CAPTION = " Shaded: differences within the margin, which would not matter."


def fid_caption(fid: pd.DataFrame, floors: Sequence[str] = ()) -> str:
    """The caption of `fid_curve`."""
    shaded = "" if fid["reliable"].all() else SHADED_CAPTION
    floor = FLOOR_CAPTION.format(floors=", ".join(floors)) if floors else ""
    bands = BAND_CAPTION if any(len(banded(arm)) for _, arm in fid.groupby(["arm", "reference_key"])) else ""
    return FID_CAPTION.format(**interval_words(fid)) + bands + floor + shaded + random_words(fid)


def comparison_caption(comparison: pd.DataFrame) -> str:
    """The caption of `comparison_figure`; empty if there is nothing to compare."""
    if comparison.empty:
        return ""
    words = interval_words(comparison) | {
        "baseline": comparison["baseline"].iloc[0],
        "n": f"{comparison['n'].max():,}",
    }
    margin = MARGIN_CAPTION if comparison["margin"].notna().any() else ""
    return DIFFERENCE_CAPTION.format(**words) + margin + random_words(comparison)


def panels_of(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Splits a table into panels: one per extractor, or per extractor and reference selection if there are two.

    Returns:
        (title, rows) per panel; the title begins with the extractor's name.
    """
    panels = []
    for extractor, whole in table.groupby("extractor", sort=False):
        parts = [(str(selection), part) for selection, part in whole.groupby("reference_selection", sort=False)]
        panels += [
            (str(extractor) if len(parts) == 1 else f"{extractor}, reference: {SELECTIONS[selection]}", part)
            for selection, part in parts
        ]
    return panels


def banded(arm: pd.DataFrame) -> pd.DataFrame:
    """The points of an arm whose intervals are plotted as a band: all valid ones, if there are at least two N."""
    valid = arm[arm["reliable"]]
    return valid if valid["n"].nunique() > 1 else valid[:0]


def has_random(table: pd.DataFrame) -> bool:
    return bool((table["weights"] == "random").any())


def random_words(table: pd.DataFrame) -> str:
    if not has_random(table):
        return ""
    return " Values from extractors with random weights are meaningful only within this experiment."


def interval_words(table: pd.DataFrame) -> dict[str, str]:
    """Confidence level and method of the intervals at the largest N, the ones that are plotted."""
    last = table[table["n"] == table["n"].max()]
    return {
        "confidence": f"{last['confidence'].iloc[0] * 100:.3g} %",
        "method": " or ".join(dict.fromkeys(last["method"])),
    }
