"""Figure captions, for figures/ and the page; does not import matplotlib (slow)."""

from collections.abc import Sequence

import pandas as pd

from emudrift.config.experiment import SELECTIONS
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION
from emudrift.evaluation.tables import at_largest_n
from emudrift.report.elements.wording import extractor_label

FID_CAPTION = (
    "FID against the number of generated images N, lower is better, with one panel for each guidance scale; axes differ between "
    "panels. Colour: model. Thick lines with bands: bias-corrected FID with {confidence} intervals ({method}){single}. Thin "
    "dashed lines: plain FID, which is biased upwards at small N, more for a more diverse model. Points at ∞: FID∞, the "
    "intercept of a linear fit in 1/N, with its interval. The axes show what is compared; an arrow says what lies outside."
)

FLOOR_CAPTION = (
    " Dotted: {floors}, the real images encoded and decoded by the model's VQ, a lower bound for this tokenizer."
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

SETS_CAPTION = " Each set of prompts has panels of its own: its distances are from real images of its own."

MARGIN_CAPTION = " Shaded: differences within the margin, which would not matter."


def fid_caption(fid: pd.DataFrame, floors: Sequence[str] = ()) -> str:
    """The caption of `fid_curve`."""
    shaded = "" if fid["reliable"].all() else SHADED_CAPTION
    floor = FLOOR_CAPTION.format(floors=", ".join(floors)) if floors else ""
    return FID_CAPTION.format(**interval_words(fid), single=_single(fid)) + floor + shaded + _sets(fid)


def _single(fid: pd.DataFrame) -> str:
    """Where the band of an arm has no width along N."""
    return "" if fid.loc[fid["reliable"], "n"].nunique() > 1 else ", at the largest N alone"


def comparison_caption(comparison: pd.DataFrame) -> str:
    """The caption of `comparison_figure`; empty if there is nothing to compare."""
    if comparison.empty:
        return ""
    sizes = dict.fromkeys(f"{n:,}" for n in at_largest_n(comparison)["n"])
    words = interval_words(comparison) | {
        "baseline": comparison["baseline"].iloc[0],
        "n": " or ".join(sizes),
    }
    margin = MARGIN_CAPTION if comparison["margin"].notna().any() else ""
    return DIFFERENCE_CAPTION.format(**words) + margin + _sets(comparison)


def _sets(table: pd.DataFrame) -> str:
    return SETS_CAPTION if table["prompt_set"].nunique() > 1 else ""


def panels_of(table: pd.DataFrame, *, by_set: bool = True) -> list[tuple[str, pd.DataFrame]]:
    """Splits a table into panels: one per extractor, or per extractor and reference selection if there are two; and per set.

    Args:
        by_set: whether each set of prompts has panels of its own, where there are several.

    Returns:
        (title, rows) per panel; the title has the extractor's name as people know it, without its fingerprint.
    """
    panels = []
    for extractor, whole in table.groupby("extractor", sort=False):
        name = extractor_title(str(extractor), table)
        parts = [(str(selection), part) for selection, part in whole.groupby("reference_selection", sort=False)]
        panels += [
            (name if len(parts) == 1 else f"{name}, reference: {SELECTIONS[selection]}", part)
            for selection, part in parts
        ]
    if not by_set or table["prompt_set"].nunique() < 2:
        return panels
    return [
        (f"{prompt_set}: {name}", part)
        for name, panel in panels
        for prompt_set, part in panel.groupby("prompt_set", sort=False)
    ]


def extractor_title(extractor: str, table: pd.DataFrame) -> str:
    """`inception, 2,048 dimensions`. Args: table: fid.csv or comparison.csv."""
    dims = int(table.loc[table["extractor"] == extractor, "dims"].iloc[0])
    return f"{extractor_label(extractor, table['extractor'])}, {dims:,} dimensions"


def labels_of(table: pd.DataFrame) -> list[str]:
    """What keeps a figure labelled that is used without the page: lines below its title."""
    lines = ["random weights: not meaningful outside this experiment"] if (table["weights"] == "random").any() else []
    # The first sentence of the experiment's note.
    note = str(table["note"].iloc[0]).partition(". ")[0]
    return lines + ([note if len(note) <= 60 else f"{note[:59]}…"] if note else [])


def interval_words(table: pd.DataFrame) -> dict[str, str]:
    """Confidence level and method of the intervals at the largest N, the ones that are plotted."""
    last = at_largest_n(table)
    return {
        "confidence": f"{last['confidence'].iloc[0] * 100:.3g} %",
        "method": " or ".join(dict.fromkeys(last["method"])),
    }
