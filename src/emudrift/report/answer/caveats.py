"""Caveats of the verdict: consistency of signs, choice of reference, tokenizer floors, intervals and their cross-check."""

import math
from typing import Any

import pandas as pd

from emudrift.config.experiment import SELECTIONS
from emudrift.config.extractors import distance_name
from emudrift.evaluation.findings import BETTER, INCONCLUSIVE, WORSE
from emudrift.evaluation.intervals import FIXED, MIN_N_PER_DIMENSION, SMALL_REFERENCE
from emudrift.evaluation.tables import rows_of
from emudrift.report.answer.scope import (
    DIMENSIONS,
    differ_across,
    guidance,
    percent,
    places_of,
    view_of,
)
from emudrift.report.elements.wording import Grave, decimals, extractor_label, listing, number, p_text

# Ratios of half-sampling to jackknife standard errors outside this range raise a warning; chance moves them by some 20 %.
CHECK = (0.5, 2.0)


def signs(rows: list[Any]) -> list[str]:
    """Whether the sign of each model's difference is consistent across guidance scales, extractors and references."""
    sentences = []
    for model in dict.fromkeys(row.model for row in rows):
        ours = [row for row in rows if row.model == model]
        if len(ours) == 1:
            continue
        tried = [name for name, along in DIMENSIONS.items() if len({along(row) for row in ours}) > 1]
        found = sum(row.finding in (WORSE, BETTER) for row in ours)
        proven = f"the adjusted interval excludes 0 in {found} of {len(ours)} comparisons"
        held = {_sign(row) for row in ours}
        if held == {"exactly 0"}:
            continue
        if len(held) == 1:
            sign = held.pop()
            worse = "worse" if sign == "above 0" else "better"
            text = f"The sign of the difference for {model} is consistent across {listing(tried)}: {sign} ({worse}); {proven}."
        else:
            across = differ_across(ours, _sign)
            signs = {sign: [row for row in ours if _sign(row) == sign] for sign in map(_sign, ours)}
            where = "; ".join(f"{sign} {places_of(those, ours)}" for sign, those in signs.items())
            text = (
                f"The sign of the difference for {model} varies across {listing(across or tried)}: {where}; {proven}."
            )
            if {WORSE, BETTER} <= {row.finding for row in ours}:
                text = Grave(
                    f"{text} The conclusion depends on these choices; no single comparison settles the question."
                )
        if (
            found
            and {row.finding for row in ours} & {INCONCLUSIVE}
            and not {WORSE, BETTER} <= {row.finding for row in ours}
        ):
            text = f"{text} One interval excluding 0 while another includes it is not evidence that the two differ."
        sentences.append(text)
    return sentences


def _sign(row: Any) -> str:
    difference = row.difference_jackknife
    return "above 0" if difference > 0 else "below 0" if difference < 0 else "exactly 0"


def signs_of_plain_differences(comparison: pd.DataFrame) -> list[str]:
    """Comparisons in which the sign of the plain (not bias-corrected) difference depends on N."""
    flips = []
    rows = rows_of(comparison)
    for _, pair in comparison.groupby(["extractor", "reference_selection", "baseline_arm", "arm"], sort=False):
        above = pair.loc[pair["difference"] > 0, "n"]
        if 0 < len(above) < len(pair):
            flips.append(_place(rows_of(pair)[0], rows))
    if not flips:
        return []
    return [
        f"The sign of the plain difference depends on N ({listing(flips)}): at small N it may reflect different "
        "finite-sample biases, or chance. Use the bias-corrected difference."
    ]


def references(rows: list[Any], fid: pd.DataFrame) -> list[str]:
    """How much the choice of reference changes the results, where both references were requested."""
    sentences, last = [], fid[fid["n"] == fid["n"].max()]
    for extractor, table in last.groupby("extractor", sort=False):
        sides = {key: part.set_index("arm") for key, part in table.groupby("reference_selection")}
        if len(sides) < 2:
            continue
        moved = (sides["same"]["fid_jackknife"] - sides["full"]["fid_jackknife"]).dropna()
        width = float((table["high"] - table["low"]).min())
        name = extractor_label(str(extractor), fid["extractor"])
        text = (
            f"Choice of reference ({name}): using the {int(table['n'].iloc[0]):,} real images of the same captions "
            f"instead of all real images changes the bias-corrected {distance_name(str(extractor))} by "
            f"{_span(moved.tolist(), width)}"
        )
        ours = [row for row in rows if row.extractor == extractor]
        # By arms: a guidance scale of NaN is not equal to itself.
        sides_of = {(row.baseline_arm, row.arm, row.reference_selection): row for row in ours}
        pairs = [(row, sides_of[*key[:2], "same"]) for key, row in sides_of.items() if key[2] == "full"]
        if pairs:
            changes = [b.difference_jackknife - a.difference_jackknife for a, b in pairs]
            text += f" and differences between models by {_span(changes, min(a.high - a.low for a, _ in pairs))}"
            other = sum(a.finding != b.finding for a, b in pairs)
            text += f"; it changes {other} of {len(pairs)} findings"
        sentences.append(text + ".")
    return sentences


def _span(values: list[float], width: float) -> str:
    places = decimals(width)
    low, high = (number(value, places, signed=True) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def about_floors(fid: pd.DataFrame) -> list[str]:
    """The lower bound that each tokenizer sets for the arms of its model, at the largest N."""
    return [
        f"{row.model} (real images encoded and decoded by the model's VQ): {distance_name(row.extractor)} "
        f"{number(row.fid_jackknife, places)} [{percent(row)} interval {number(row.low, places)} to {number(row.high, places)}] "
        f"({name}, reference: {SELECTIONS[row.reference_selection]}); this is a lower bound for this tokenizer."
        for row in rows_of(fid[fid["n"] == fid["n"].max()])
        for places, name in [(decimals(row.high - row.low), extractor_label(row.extractor, fid["extractor"]))]
    ]


def not_compared(comparison: pd.DataFrame, fid: pd.DataFrame, baseline: str) -> list[str]:
    compared = set(comparison["arm"]) | set(comparison["baseline_arm"])
    alone = fid[~fid["arm"].isin(compared)].drop_duplicates("arm")
    if alone.empty:
        return []
    names = [
        row.model if math.isnan(row.guidance_scale) else f"{row.model} at {guidance(row.guidance_scale)}"
        for row in rows_of(alone)
    ]
    return [Grave(f"Not compared, because there is no counterpart at the same guidance scale: {listing(names)}.")]


def about_differences(rows: list[Any], together: int) -> list[str]:
    """Args: together: for how many comparisons simultaneous intervals hold together: all at the largest N, of every set."""
    methods = listing(dict.fromkeys(f"{percent(row)}, {row.method}" for row in rows))
    fixed = " Uncertainty of the reference set is excluded." if any(FIXED in row.method for row in rows) else ""
    names = listing(dict.fromkeys(distance_name(row.extractor) for row in rows), "or")
    return [
        f"A higher {names} is worse. Differences are model minus {rows[0].baseline}, paired by prompt and corrected for "
        "finite-sample bias; the plain differences are in the table.",
        f"Intervals: {methods}.{fixed}{_adjusted(rows, together)}",
        *_checked(rows),
    ]


def _adjusted(rows: list[Any], together: int) -> str:
    """The sentence on multiple comparisons, and the comparisons that are significant only without adjustment."""
    if together == 1:
        return ""
    at = "at this N" if together == len(rows) else "at the largest N of each set of prompts"
    text = (
        f" Findings are based on intervals that hold together for all {together} comparisons {at}; intervals not labelled "
        "as adjusted are per comparison."
    )
    fallen = [row for row in rows if row.finding == INCONCLUSIVE and row.p <= 1 - row.confidence]
    if not fallen:
        return text
    names = [f"{_place(row, rows)} (p {p_text(row.p)}, adjusted {p_text(row.p_adjusted)})" for row in fallen]
    return f"{text} Significant per comparison, but not after adjustment: {listing(names)}."


def _place(row: Any, rows: list[Any]) -> str:
    """finetuned at guidance 3 under inception with same images as reference."""
    at = "" if math.isnan(row.guidance_scale) else f"at {guidance(row.guidance_scale)}"
    return " ".join(filter(None, [row.model, at, view_of(row, rows)]))


def _checked(rows: list[Any]) -> list[str]:
    """Cross-check of the jackknife's standard errors by half-sampling."""
    ratios = [row.half_sampling_error / row.standard_error for row in rows if row.standard_error > 0]
    if not ratios:
        return []
    low, high = (f"{f(ratios):.2f}" for f in (min, max))
    text = (
        "Cross-check: half-sampling (without replacement) gives standard errors "
        f"{low if low == high else f'{low} to {high}'} times those of the jackknife; ratios of 0.7–1.5 are expected by chance."
    )
    if min(ratios) < CHECK[0] or max(ratios) > CHECK[1]:
        return [
            Grave(
                f"{text} The two disagree, so these intervals are unreliable: N is too small, or a few images dominate "
                "the result."
            )
        ]
    return [text]


def about_fids(fid: pd.DataFrame) -> list[str]:
    caveats = []
    for extractor, table in fid.groupby("extractor", sort=False):
        unreliable = sorted(set(table.loc[~table["reliable"], "n"]))
        dims = int(table["dims"].iloc[0])
        name = extractor_label(str(extractor), fid["extractor"])
        if unreliable:
            largest = (
                " This includes the largest N, on which the verdict is based."
                if unreliable[-1] == table["n"].max()
                else ""
            )
            which = (
                f"N = {listing(f'{n:,}' for n in unreliable)}"
                if len(unreliable) <= 3
                else f"N up to {unreliable[-1]:,}"
            )
            caveats.append(
                (Grave if largest else str)(
                    f"At {which}, fewer images than {MIN_N_PER_DIMENSION:g} times the {dims:,} feature dimensions of {name}, "
                    f"absolute FIDs are unreliable and no difference is claimed.{largest}"
                )
            )
        caveats += about_reference(rows_of(table[table["n"] == table["n"].max()]), name)
    return caveats


def about_reference(rows: list[Any], extractor: str) -> list[str]:
    """What a small reference, or one that is held fixed, does to the FIDs of one extractor at the largest N."""
    caveats = []
    for selection in dict.fromkeys(row.reference_selection for row in rows):
        row = next(row for row in rows if row.reference_selection == selection)
        if selection == "full" and not pd.isna(row.reference_n) and row.reference_n < SMALL_REFERENCE * row.dims:
            counted = "" if FIXED in row.method else ": intervals count that, and more real images would narrow them"
            caveats.append(
                f"The reference has {row.reference_n:,} images, fewer than {SMALL_REFERENCE} for each of the {row.dims:,} "
                f"dimensions of {extractor}{counted}."
            )
        if FIXED in row.method:
            biases = [each.reference_bias for each in rows if each.reference_selection == selection]
            known = [bias for bias in biases if not math.isnan(bias)]
            size = f"about {number(max(known), decimals(max(known)))}" if known else "an unknown amount"
            caveats.append(
                Grave(
                    f"The reference of {extractor} is ready statistics, held fixed: that it was made from a finite number of "
                    f"images adds {size} to each distance, more for a more diverse model, and is not in the intervals."
                )
            )
    return caveats
