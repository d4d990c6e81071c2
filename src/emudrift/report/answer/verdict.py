"""The verdict in words: the outcome of the comparison, derived from the tables by fixed rules, with its caveats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.config.extractors import distance_name
from emudrift.evaluation.tables import BETTER, NONE, TOO_FEW, WORSE, Finding, rows_of
from emudrift.report.answer.caveats import (
    about_differences,
    about_fids,
    about_floors,
    not_compared,
    references,
    signs,
    signs_of_plain_differences,
)
from emudrift.report.answer.scope import differ_across, guidance, percent, places_of, scales_of
from emudrift.report.elements.wording import decimals, interval_text, listing, number, p_text


@dataclass(frozen=True)
class Statement:
    """One comparison in words."""

    text: str
    finding: Finding
    random_weights: bool


@dataclass(frozen=True)
class Verdict:
    """The conclusion of an experiment in words.

    Attributes:
        headline: one sentence per compared model.
        statements: one per model, guidance scale, extractor and reference, at the largest N.
        caveats: what a reader must know to interpret the numbers.
    """

    headline: str
    statements: list[Statement]
    caveats: list[str]

    def text(self) -> str:
        """The whole verdict as plain text, for a terminal or a log."""
        return "\n".join(
            [self.headline, *(f"  {s.text}" for s in self.statements), *(f"  * {c}" for c in self.caveats)]
        )


def verdict(comparison: pd.DataFrame, fid: pd.DataFrame, baseline: str, floors: Sequence[str] = ()) -> Verdict:
    """Derives the verdict from the two tables.

    Args:
        floors: models of fid.csv that generate nothing: real images encoded and decoded by a tokenizer.
    """
    below, fid = fid[fid["model"].isin(floors)], fid[~fid["model"].isin(floors)]
    largest = comparison[comparison["n"] == comparison["n"].max()]
    rows = rows_of(largest)
    if not rows:
        return Verdict(_nothing(fid, baseline), [], [*references([], fid), *about_floors(below), *about_fids(fid)])
    scales = dict(zip(fid["arm"], fid["guidance_scale"], strict=True))
    statements = [Statement(_statement(row, scales, len(rows)), row.finding, row.weights == "random") for row in rows]
    # Results with random weights are ignored in the headline if there are results with published weights.
    decisive = [row for row in rows if row.weights != "random"] or rows
    models = list(dict.fromkeys(row.model for row in decisive))
    headlines = [_headline([row for row in decisive if row.model == model], len(rows)) for model in models]
    if decisive[0].weights == "random":
        headlines.append(
            "These values come from a network with random weights and are meaningful only within this experiment."
        )
    caveats = [
        *signs(rows),
        *signs_of_plain_differences(comparison),
        *references(rows, fid),
        *not_compared(comparison, fid, baseline),
        *about_floors(below),
        *about_differences(rows),
        *about_fids(fid),
    ]
    return Verdict(" ".join(headlines), statements, caveats)


def _nothing(fid: pd.DataFrame, baseline: str) -> str:
    if fid["model"].nunique() == 1:
        return f"There is nothing to compare: {baseline} is the only model."
    return f"There is nothing to compare: no other model has an arm at a guidance scale of {baseline}."


def _statement(row: Any, scales: dict[str, float], comparisons: int) -> str:
    difference, interval = interval_text(row)
    if row.finding == NONE:
        text = f"no difference between {row.model} and {row.baseline} was found"
    elif row.finding == TOO_FEW:
        text = f"too few images to say whether {row.model} and {row.baseline} differ"
    else:
        text = f"{row.model} is {row.finding} than {row.baseline}"
    if not math.isnan(row.guidance_scale):
        without = [m for m, arm in ((row.model, row.arm), (row.baseline, row.baseline_arm)) if math.isnan(scales[arm])]
        text = f"At {guidance(row.guidance_scale)}, {text}"
        text += f" ({without[0]} has no guidance scale)" if without else ""
    elif row.finding in (NONE, TOO_FEW):
        text = text[0].upper() + text[1:]
    if row.reference_selection == "same":
        reference = "the real images of the same captions"
    else:
        reference = row.reference if pd.isna(row.reference_n) else f"{row.reference_n:,} images"
    random = ", random weights" if row.weights == "random" else ""
    several = comparisons > 1
    p = f"adjusted p {p_text(row.p_adjusted)}" if several else f"p {p_text(row.p)}"
    adjusted = f"; adjusted {interval_text(row, '_simultaneous')[1]}" if several else ""
    name = distance_name(row.extractor)
    text += (
        f": {name} {difference} [{percent(row)} interval {interval}{adjusted}; {p}] at N = {row.n:,} images per arm "
        f"({row.extractor}{random}, reference: {reference})."
    )
    if row.finding in (WORSE, BETTER) and row.difference * row.difference_jackknife < 0:
        plain = number(row.difference, decimals(row.high - row.low, row.difference), signed=True)
        text += (
            f" The plain {name} difference, {plain}, has the opposite sign: its finite-sample bias does not cancel at "
            "equal N."
        )
    if not math.isnan(row.difference_infinity):
        places = decimals(row.infinity_high - row.infinity_low, row.difference_infinity)
        infinity, low, high = (
            number(value, places, signed=signed)
            for value, signed in (
                (row.difference_infinity, True),
                (row.infinity_low, False),
                (row.infinity_high, False),
            )
        )
        text += f" Extrapolated to infinite N: {infinity} [{low} to {high}]"
        other = row.finding in (WORSE, BETTER) and row.difference_infinity * row.difference_jackknife < 0
        text += ", which has the opposite sign: N is too small for either estimate." if other else "."
    return text


def _headline(rows: list[Any], comparisons: int) -> str:
    """One sentence on one model, from its comparisons at the largest N.

    Args:
        comparisons: number of comparisons at this N, those of other models included.
    """
    model, baseline, n = rows[0].model, rows[0].baseline, f"N = {rows[0].n:,}"
    findings = list(dict.fromkeys(row.finding for row in rows))
    if len(rows) == 1:
        # The finding is based on the adjusted interval.
        difference, interval = interval_text(rows[0], "_simultaneous" if comparisons > 1 else "")
        kind = "adjusted interval" if comparisons > 1 else "interval"
        scale = rows[0].guidance_scale
        at = "" if math.isnan(scale) else f" at {guidance(scale)}"
        name = distance_name(rows[0].extractor)
        measured = f"{name} {difference} [{percent(rows[0])} {kind} {interval}], {n}."
        if findings == [TOO_FEW]:
            return f"{TOO_FEW.capitalize()} to say whether {model} and {baseline} differ{at}: {measured}"
        if findings == [NONE]:
            return f"No difference between {model} and {baseline} was found{at}: {measured}"
        return f"{model} is {findings[0]} than {baseline}{at}: {measured}"
    if len(findings) == 1:
        everywhere = _everywhere(rows, "any" if findings in ([NONE], [TOO_FEW]) else "every")
        if findings == [TOO_FEW]:
            return f"{TOO_FEW.capitalize()} to say whether {model} and {baseline} differ {everywhere}, {n}."
        if findings == [NONE]:
            return f"No difference between {model} and {baseline} was found {everywhere}, {n}."
        spread = _range(rows)
        measured = f": {spread} (intervals below), {n}" if spread else f" ({n})"
        return f"{model} is {findings[0]} than {baseline} {everywhere}{measured}."
    between = differ_across(rows, lambda row: row.finding)
    places = {finding: places_of([row for row in rows if row.finding == finding], rows) for finding in findings}
    told = [finding for finding in (WORSE, BETTER) if finding in findings]
    parts = []
    if told:
        first = f"{model} is {told[0]} than {baseline} {places[told[0]]}"
        parts = [" and ".join([first, *(f"{finding} {places[finding]}" for finding in told[1:])])]
    parts += [f"no difference was found {places[NONE]}"] if NONE in findings else []
    parts += [f"there are {TOO_FEW} {places[TOO_FEW]}"] if TOO_FEW in findings else []
    if {WORSE, BETTER} <= set(findings):
        depends = listing(f"the {name.removesuffix('s')}" for name in between or ["comparisons"])
        return f"The answer depends on {depends}: {'; '.join(parts)} ({n})."
    return f"The findings differ between {listing(between or ['comparisons'])}: {'; '.join(parts)} ({n})."


def _everywhere(rows: list[Any], each: str) -> str:
    scales = scales_of(rows)
    parts = []
    if len(scales) > 1:
        parts.append(f"at {each} guidance scale ({listing(f'{scale:g}' for scale in scales)})")
    elif scales:
        parts.append(f"at {guidance(scales[0])}")
    if len({row.extractor for row in rows}) > 1:
        parts.append(f"for {each} extractor")
    if len({row.reference_selection for row in rows}) > 1:
        parts.append(f"with {'either' if each == 'any' else 'each'} reference")
    return listing(parts)


def _range(rows: list[Any]) -> str:
    """The range of the differences; empty for several extractors, whose distances have no common unit."""
    if len({row.extractor for row in rows}) > 1:
        return ""
    smallest, largest = (f(row.difference_jackknife for row in rows) for f in (min, max))
    places = min(decimals(row.high - row.low, row.difference_jackknife) for row in rows)
    places = decimals(10.0 ** (1 - places), smallest, largest)
    name = distance_name(rows[0].extractor)
    ends = dict.fromkeys(number(value, places, signed=True) for value in (smallest, largest))
    return f"{name} {' to '.join(ends)}"
