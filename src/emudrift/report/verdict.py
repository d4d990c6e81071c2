"""The answer in words: what the comparison found, by rules that all stand here, and how it may be used."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.comparison import BETTER, NONE, WORSE, Finding, rows_of

# --- numbers for people ---


def decimals(width: float, *values: float) -> int:
    """Decimals that show two digits of an interval's width, and no end of it as 0 that is not."""
    scale = width if width > 0 else max((abs(value) for value in values), default=0.0) / 10
    places = 1 if scale <= 0 else min(max(1 - math.floor(math.log10(scale)), 0), 9)
    while places < 9 and any(value != 0 and round(value, places) == 0 for value in values):
        places += 1
    return places


def number(value: float, places: int, *, signed: bool = False) -> str:
    """1,234.5 with a real minus; `signed` puts a plus before what is above 0."""
    text = f"{abs(value):,.{places}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return ("−" if value < 0 else "+" if signed else "") + text


def interval_text(row: Any) -> tuple[str, str]:
    """The corrected difference of a comparison's row and its interval: ("+12.3", "9.8 to 14.9")."""
    # An end near 0 matters only where the interval excludes 0: then it must not read as 0.
    ends = () if row.finding == NONE else (row.low, row.high)
    places = decimals(row.high - row.low, *ends)
    return (
        number(row.difference_jackknife, places, signed=True),
        f"{number(row.low, places)} to {number(row.high, places)}",
    )


def listing(items: Iterable[str], last: str = "and") -> str:
    """1, 3 and 5."""
    *first, end = list(items)
    return f"{', '.join(first)} {last} {end}" if first else end


# --- the answer in words ---


@dataclass(frozen=True)
class Statement:
    """One comparison in words."""

    text: str
    finding: Finding
    random_weights: bool


@dataclass(frozen=True)
class Verdict:
    """The answer of an experiment in words.

    Attributes:
        headline: one sentence per model that is compared.
        statements: one per model, guidance scale and extractor, at the largest N.
        caveats: what a reader must know to use the numbers.
    """

    headline: str
    statements: list[Statement]
    caveats: list[str]

    def text(self) -> str:
        """All of it as plain lines, for a terminal or a log."""
        return "\n".join(
            [self.headline, *(f"  {s.text}" for s in self.statements), *(f"  * {c}" for c in self.caveats)]
        )


def verdict(comparison: pd.DataFrame, fid: pd.DataFrame, baseline: str, floors: Sequence[str] = ()) -> Verdict:
    """The answer in words, from the two tables.

    Args:
        floors: models of fid.csv that draw nothing: the real images through a tokenizer.
    """
    below, fid = fid[fid["model"].isin(floors)], fid[~fid["model"].isin(floors)]
    largest = comparison[comparison["n"] == comparison["n"].max()]
    rows = rows_of(largest)
    if not rows:
        return Verdict(_nothing(fid, baseline), [], _caveats_of_fid(fid))
    scales = dict(zip(fid["arm"], fid["guidance_scale"], strict=True))
    statements = [Statement(_statement(row, scales), row.finding, row.weights == "random") for row in rows]
    # Random weights do not answer the question where published ones do.
    decisive = [row for row in rows if row.weights == "published"] or rows
    models = list(dict.fromkeys(row.model for row in decisive))
    headlines = [_headline([row for row in decisive if row.model == model]) for model in models]
    if decisive[0].weights == "random":
        headlines.append("This is seen through a network with random weights and holds inside this experiment only.")
    caveats = [
        *_differing(rows),
        *_not_compared(comparison, fid, baseline),
        *_floors(below),
        *_caveats_of_differences(rows),
        *_caveats_of_fid(fid),
    ]
    return Verdict(" ".join(headlines), statements, caveats)


def _nothing(fid: pd.DataFrame, baseline: str) -> str:
    if fid["model"].nunique() == 1:
        return f"There is nothing to compare: {baseline} is the only model."
    return f"There is nothing to compare: no model has an arm at a guidance scale of {baseline}."


def _guidance(scale: float) -> str:
    return f"guidance {scale:g}"


def _percent(row: Any) -> str:
    return f"{row.confidence * 100:.3g} %"


def _statement(row: Any, scales: dict[str, float]) -> str:
    difference, interval = interval_text(row)
    if row.finding == NONE:
        text = f"no difference between {row.model} and {row.baseline} was found"
    else:
        text = f"{row.model} is {row.finding} than {row.baseline}"
    if not math.isnan(row.guidance_scale):
        without = [m for m, arm in ((row.model, row.arm), (row.baseline, row.baseline_arm)) if math.isnan(scales[arm])]
        text = f"At {_guidance(row.guidance_scale)}, {text}"
        text += f" ({without[0]} has no guidance scale of its own)" if without else ""
    elif row.finding == NONE:
        text = text.replace("no", "No", 1)
    if row.reference_selection == "same":
        reference = "the real images of the same captions"
    else:
        reference = row.reference if pd.isna(row.reference_n) else f"{row.reference_n:,} images"
    random = ", random weights" if row.weights == "random" else ""
    text += (
        f": FID {difference} [{_percent(row)} interval {interval}] over N = {row.n:,} images "
        f"({row.extractor}{random}, reference: {reference})."
    )
    if row.finding != NONE and row.difference * row.difference_jackknife < 0:
        plain = number(row.difference, decimals(row.high - row.low, row.difference), signed=True)
        text += (
            f" The plain FID difference, {plain}, has the other sign: it carries a bias that equal N does not cancel."
        )
    if row.finding != NONE and row.difference_infinity * row.difference_jackknife < 0:
        places = decimals(row.infinity_high - row.infinity_low, row.difference_infinity)
        text += (
            f" Extrapolated to infinite N the difference is {number(row.difference_infinity, places, signed=True)}, of the "
            "other sign: N is too small for either."
        )
    return text


def _headline(rows: list[Any]) -> str:
    """One sentence on one model, from its comparisons at the largest N."""
    model, baseline, n = rows[0].model, rows[0].baseline, f"N = {rows[0].n:,}"
    findings = list(dict.fromkeys(row.finding for row in rows))
    if len(rows) == 1:
        difference, interval = interval_text(rows[0])
        scale = rows[0].guidance_scale
        at = "" if math.isnan(scale) else f" at {_guidance(scale)}"
        measured = f"FID {difference} [{_percent(rows[0])} interval {interval}], {n}."
        if findings == [NONE]:
            return f"No difference between {model} and {baseline} was found{at}: {measured}"
        return f"{model} is {findings[0]} than {baseline}{at}: {measured}"
    if len(findings) == 1:
        everywhere = _everywhere(rows, "any" if findings == [NONE] else "every")
        if findings == [NONE]:
            return f"No difference between {model} and {baseline} was found {everywhere}, {n}."
        spread = _range(rows)
        measured = f": {spread}, intervals below, {n}" if spread else f" ({n})"
        return f"{model} is {findings[0]} than {baseline} {everywhere}{measured}."
    across_scales, across_extractors = _differ_across(rows)
    between = [
        word for word, differ in (("guidance scales", across_scales), ("extractors", across_extractors)) if differ
    ]
    places = {finding: _places([row for row in rows if row.finding == finding], rows) for finding in findings}
    told = [finding for finding in (WORSE, BETTER) if finding in findings]
    first = f"{model} is {told[0]} than {baseline} {places[told[0]]}"
    parts = [" and ".join([first, *(f"{finding} {places[finding]}" for finding in told[1:])])]
    parts += [f"no difference was found {places[NONE]}"] if NONE in findings else []
    return f"The findings differ between {listing(between or ['comparisons'])}: {'; '.join(parts)} ({n})."


def _everywhere(rows: list[Any], each: str) -> str:
    scales, extractors = _scales(rows), list(dict.fromkeys(row.extractor for row in rows))
    parts = []
    if len(scales) > 1:
        parts.append(f"at {each} guidance scale ({listing(f'{scale:g}' for scale in scales)})")
    elif scales:
        parts.append(f"at {_guidance(scales[0])}")
    if len(extractors) > 1:
        parts.append(f"for {each} extractor")
    return " and ".join(parts)


def _range(rows: list[Any]) -> str:
    """The spread of the differences, where one extractor measured them all: distances of two cannot be mixed."""
    if len({row.extractor for row in rows}) > 1:
        return ""
    smallest, largest = (f(row.difference_jackknife for row in rows) for f in (min, max))
    places = min(decimals(row.high - row.low, row.difference_jackknife) for row in rows)
    places = decimals(10.0 ** (1 - places), smallest, largest)
    return f"FID {number(smallest, places, signed=True)} to {number(largest, places, signed=True)}"


def _places(found: list[Any], rows: list[Any]) -> str:
    """Where a finding holds: guidance scales, with extractors where these matter."""
    extractors = list(dict.fromkeys(row.extractor for row in rows))
    if len(extractors) == 1:
        return f"at guidance {listing(f'{scale:g}' for scale in _scales(found))}"
    parts = []
    for extractor in dict.fromkeys(row.extractor for row in found):
        scales = _scales([row for row in found if row.extractor == extractor])
        everywhere = len(scales) == len(_scales([row for row in rows if row.extractor == extractor]))
        at = "" if everywhere else f" at guidance {listing(f'{scale:g}' for scale in scales)}"
        parts.append(f"by {extractor}{at}")
    return listing(parts)


def _scales(rows: list[Any]) -> list[float]:
    return sorted({row.guidance_scale for row in rows if not math.isnan(row.guidance_scale)})


def _differ_across(rows: list[Any]) -> tuple[bool, bool]:
    """Whether one model's findings differ between guidance scales, and between extractors."""
    by_extractor: dict[str, set[str]] = {}
    by_scale: dict[str, set[str]] = {}
    for row in rows:
        by_extractor.setdefault(row.extractor, set()).add(row.finding)
        by_scale.setdefault(f"{row.guidance_scale:g}", set()).add(row.finding)
    return any(len(f) > 1 for f in by_extractor.values()), any(len(f) > 1 for f in by_scale.values())


def _differing(rows: list[Any]) -> list[str]:
    """Says plainly where findings differ, and what that does not show."""
    caveats = []
    for model in dict.fromkeys(row.model for row in rows):
        ours = [row for row in rows if row.model == model]
        across_scales, across_extractors = _differ_across(ours)
        if not (across_scales or across_extractors):
            continue
        words = [w for w, differ in (("guidance scales", across_scales), ("extractors", across_extractors)) if differ]
        text = f"The findings on {model} differ between {listing(words)}: no single one of them is the answer."
        if not {WORSE, BETTER} <= {row.finding for row in ours}:
            text += " That one interval excludes 0 and another does not is no proof that the two differ."
        caveats.append(text)
    return caveats


def _floors(fid: pd.DataFrame) -> list[str]:
    """The best that an arm can reach, at the largest N."""
    return [
        f"{row.model}: the real images through the model's own VQ and back have a FID of {number(row.fid_jackknife, places)} "
        f"[{_percent(row)} interval {number(row.low, places)} to {number(row.high, places)}] ({row.extractor}); no arm of the "
        "model can be better."
        for row in rows_of(fid[fid["n"] == fid["n"].max()])
        for places in [decimals(row.high - row.low)]
    ]


def _not_compared(comparison: pd.DataFrame, fid: pd.DataFrame, baseline: str) -> list[str]:
    compared = set(comparison["arm"]) | set(comparison["baseline_arm"])
    alone = fid[~fid["arm"].isin(compared)].drop_duplicates("arm")
    if alone.empty:
        return []
    names = [
        row.model if math.isnan(row.guidance_scale) else f"{row.model} at {_guidance(row.guidance_scale)}"
        for row in rows_of(alone)
    ]
    return [f"Not compared, for want of an arm at the same guidance scale on the other side: {listing(names)}."]


def _caveats_of_differences(rows: list[Any]) -> list[str]:
    methods = listing(dict.fromkeys(f"{_percent(row)}, {row.method}" for row in rows))
    fixed = " They do not cover what other real images would change." if "held fixed" in methods else ""
    many = (
        "" if len(rows) == 1 else f" They are per comparison, not adjusted for the {len(rows)} comparisons made here."
    )
    many += _adjusted(rows)
    return [
        f"A higher FID is worse. Differences are model minus {rows[0].baseline}, both drawn for the same prompts and "
        "corrected for the bias of a finite N; the plain differences are in the table.",
        f"Intervals: {methods}.{fixed}{many}",
    ]


def _adjusted(rows: list[Any]) -> str:
    """Which findings stand when all comparisons are counted."""
    found = [row for row in rows if row.finding != NONE]
    if len(rows) == 1 or not found:
        return ""
    fallen = [row for row in found if row.p_holm > 1 - row.confidence]
    if not fallen:
        return f" Adjusted for all of them (Holm), {'the finding stands' if len(found) == 1 else 'all findings stand'}."
    names = [
        f"{row.model}{'' if math.isnan(row.guidance_scale) else f' at {_guidance(row.guidance_scale)}'}"
        f"{f' by {row.extractor}' if len({each.extractor for each in rows}) > 1 else ''} (p = {row.p_holm:.2g})"
        for row in fallen
    ]
    return f" Adjusted for all of them (Holm), these findings do not stand: {listing(names)}."


def _caveats_of_fid(fid: pd.DataFrame) -> list[str]:
    caveats = []
    for extractor, table in fid.groupby("extractor", sort=False):
        unreliable = sorted(set(table.loc[~table["reliable"], "n"]))
        dims, random = int(table["dims"].iloc[0]), table["weights"].iloc[0] == "random"
        if unreliable:
            largest = (
                " That includes the largest N, which the answer is from." if unreliable[-1] == table["n"].max() else ""
            )
            which = (
                f"N = {listing(f'{n:,}' for n in unreliable)}"
                if len(unreliable) <= 3
                else f"N up to {unreliable[-1]:,}"
            )
            caveats.append(
                f"At {which}, fewer images than twice the {dims:,} dimensions of {extractor}, absolute FIDs are "
                f"unreliable, and intervals of differences hold the truth less often than they say.{largest}"
            )
        if random:
            caveats.append(
                f"{extractor} has random weights: its numbers mean nothing outside this experiment and cannot be set "
                "beside published FIDs."
            )
    return caveats
