"""The answer in words: what the comparison found, by rules that all stand here, and how it may be used."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.comparison import BETTER, NONE, SELECTIONS, WORSE, Finding, rows_of
from emudrift.extractor_settings import distance_name
from emudrift.report.words import decimals, interval_text, listing, number

# What a finding may depend on: its name in the plural, and what tells one from another.
DIMENSIONS: dict[str, Callable[[Any], Any]] = {
    "guidance scales": lambda row: f"{row.guidance_scale:g}",
    "extractors": lambda row: row.extractor,
    "references": lambda row: row.reference_selection,
}
# How far the check may be from the jackknife's error before it is told: its own error is some 16 %.
CHECK = (0.5, 2.0)


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
        statements: one per model, guidance scale, extractor and reference, at the largest N.
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
    statements = [Statement(_statement(row, scales, len(rows)), row.finding, row.weights == "random") for row in rows]
    # Random weights do not answer the question where published ones do.
    decisive = [row for row in rows if row.weights != "random"] or rows
    models = list(dict.fromkeys(row.model for row in decisive))
    headlines = [_headline([row for row in decisive if row.model == model]) for model in models]
    if decisive[0].weights == "random":
        headlines.append("This is seen through a network with random weights and holds inside this experiment only.")
    caveats = [
        *_signs(rows),
        *_references(rows, fid),
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


def _statement(row: Any, scales: dict[str, float], comparisons: int) -> str:
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
    adjusted = f"; adjusted {interval_text(row, '_holm')[1]}" if comparisons > 1 else ""
    name = distance_name(row.extractor)
    text += (
        f": {name} {difference} [{_percent(row)} interval {interval}{adjusted}] over N = {row.n:,} images "
        f"({row.extractor}{random}, reference: {reference})."
    )
    if row.finding != NONE and row.difference * row.difference_jackknife < 0:
        plain = number(row.difference, decimals(row.high - row.low, row.difference), signed=True)
        text += f" The plain {name} difference, {plain}, has the other sign: it carries a bias that equal N does not cancel."
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
        name = distance_name(rows[0].extractor)
        measured = f"{name} {difference} [{_percent(rows[0])} interval {interval}], {n}."
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
    between = _differ_across(rows, lambda row: row.finding)
    places = {finding: _places([row for row in rows if row.finding == finding], rows) for finding in findings}
    told = [finding for finding in (WORSE, BETTER) if finding in findings]
    first = f"{model} is {told[0]} than {baseline} {places[told[0]]}"
    parts = [" and ".join([first, *(f"{finding} {places[finding]}" for finding in told[1:])])]
    parts += [f"no difference was found {places[NONE]}"] if NONE in findings else []
    if {WORSE, BETTER} <= set(findings):
        depends = listing(f"the {name.removesuffix('s')}" for name in between or ["comparisons"])
        return f"The answer depends on {depends}: {'; '.join(parts)} ({n})."
    return f"The findings differ between {listing(between or ['comparisons'])}: {'; '.join(parts)} ({n})."


def _everywhere(rows: list[Any], each: str) -> str:
    scales = _scales(rows)
    parts = []
    if len(scales) > 1:
        parts.append(f"at {each} guidance scale ({listing(f'{scale:g}' for scale in scales)})")
    elif scales:
        parts.append(f"at {_guidance(scales[0])}")
    if len({row.extractor for row in rows}) > 1:
        parts.append(f"for {each} extractor")
    if len({row.reference_selection for row in rows}) > 1:
        parts.append(f"with {'either' if each == 'any' else 'each'} reference")
    return listing(parts)


def _range(rows: list[Any]) -> str:
    """The spread of the differences, where one extractor measured them all: distances of two cannot be mixed."""
    if len({row.extractor for row in rows}) > 1:
        return ""
    smallest, largest = (f(row.difference_jackknife for row in rows) for f in (min, max))
    places = min(decimals(row.high - row.low, row.difference_jackknife) for row in rows)
    places = decimals(10.0 ** (1 - places), smallest, largest)
    name = distance_name(rows[0].extractor)
    return f"{name} {number(smallest, places, signed=True)} to {number(largest, places, signed=True)}"


def _view(row: Any, rows: list[Any]) -> str:
    """What a comparison was seen through, as far as that differs between the rows."""
    names = [f"by {row.extractor}"] if len({each.extractor for each in rows}) > 1 else []
    several = len({each.reference_selection for each in rows}) > 1
    names += [f"with {SELECTIONS[row.reference_selection]} as reference"] if several else []
    return " ".join(names)


def _places(found: list[Any], rows: list[Any]) -> str:
    """Where something holds: guidance scales, with extractors and references where these matter."""
    parts = []
    for view in dict.fromkeys(_view(row, rows) for row in found):
        scales = _scales([row for row in found if _view(row, rows) == view])
        everywhere = len(scales) == len(_scales([row for row in rows if _view(row, rows) == view]))
        at = "" if view and everywhere else f"at guidance {listing(f'{scale:g}' for scale in scales)}"
        parts.append(" ".join(filter(None, [view, at])))
    # The word in front of all is not said again.
    first = parts[0].split(" ", 1)[0]
    parts = [parts[0], *(part.removeprefix(f"{first} ") if first == "by" else part for part in parts[1:])]
    return listing(parts)


def _scales(rows: list[Any]) -> list[float]:
    return sorted({row.guidance_scale for row in rows if not math.isnan(row.guidance_scale)})


def _differ_across(rows: list[Any], of: Callable[[Any], Any]) -> list[str]:
    """Names of the dimensions along which `of` differs between one model's comparisons, all others being equal."""
    names = []
    for name, along in DIMENSIONS.items():
        others = [each for other, each in DIMENSIONS.items() if other != name]
        groups: dict[Any, dict[Any, Any]] = {}
        for row in rows:
            groups.setdefault(tuple(each(row) for each in others), {})[along(row)] = of(row)
        if any(len(set(group.values())) > 1 for group in groups.values()):
            names.append(name)
    return names


def _signs(rows: list[Any]) -> list[str]:
    """Whether the sign of each model's difference holds across guidance scales, extractors and references."""
    sentences = []
    for model in dict.fromkeys(row.model for row in rows):
        ours = [row for row in rows if row.model == model]
        if len(ours) == 1:
            continue
        tried = [name for name, along in DIMENSIONS.items() if len({along(row) for row in ours}) > 1]
        found = sum(row.finding != NONE for row in ours)
        proven = f"the adjusted interval excludes 0 in {found} of {len(ours)} comparisons"
        signs = {"above 0": [row for row in ours if row.difference_jackknife > 0]}
        signs["below 0"] = [row for row in ours if row.difference_jackknife <= 0]
        held = [sign for sign, those in signs.items() if len(those) == len(ours)]
        if held:
            worse = "worse" if held == ["above 0"] else "better"
            text = (
                f"The sign of the difference of {model} holds across {listing(tried)}: {held[0]} ({worse}); {proven}."
            )
        else:
            across = _differ_across(ours, lambda row: row.difference_jackknife > 0)
            where = "; ".join(f"{sign} {_places(those, ours)}" for sign, those in signs.items())
            text = (
                f"The sign of the difference of {model} changes across {listing(across or tried)}: {where}; {proven}."
            )
            if {WORSE, BETTER} <= {row.finding for row in ours}:
                text += " The answer depends on them: no single one is the answer."
        if found and {row.finding for row in ours} & {NONE} and not {WORSE, BETTER} <= {row.finding for row in ours}:
            text += " That one interval excludes 0 and another does not is no proof that the two differ."
        sentences.append(text)
    return sentences


def _references(rows: list[Any], fid: pd.DataFrame) -> list[str]:
    """What the choice of the reference changes, where both were asked for."""
    sentences, last = [], fid[fid["n"] == fid["n"].max()]
    for extractor, table in last.groupby("extractor", sort=False):
        sides = {key: part.set_index("arm") for key, part in table.groupby("reference_selection")}
        if len(sides) < 2:
            continue
        moved = (sides["same"]["fid_jackknife"] - sides["full"]["fid_jackknife"]).dropna()
        width = float((table["high"] - table["low"]).min())
        text = (
            f"Reference ({extractor}): against the {int(table['n'].iloc[0]):,} real images of the same captions, in place of "
            f"all, the corrected {distance_name(str(extractor))} changes by {_span(moved.tolist(), width)}"
        )
        ours = [row for row in rows if row.extractor == extractor]
        sides_of = {(row.model, row.guidance_scale, row.reference_selection): row for row in ours}
        pairs = [(row, sides_of[*key[:2], "same"]) for key, row in sides_of.items() if key[2] == "full"]
        if pairs:
            changes = [b.difference_jackknife - a.difference_jackknife for a, b in pairs]
            text += f", differences between models by {_span(changes, min(a.high - a.low for a, _ in pairs))}"
            other = sum(a.finding != b.finding for a, b in pairs)
            text += f"; {other or 'none'} of {len(pairs)} findings {'changes' if other < 2 else 'change'} with it"
        sentences.append(text + ".")
    return sentences


def _span(values: list[float], width: float) -> str:
    places = decimals(width)
    low, high = (number(value, places, signed=True) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


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
    names = listing(dict.fromkeys(distance_name(row.extractor) for row in rows))
    return [
        f"A higher {names} is worse. Differences are model minus {rows[0].baseline}, both drawn for the same prompts and "
        "corrected for the bias of a finite N; the plain differences are in the table.",
        f"Intervals: {methods}.{fixed}{_adjusted(rows)}",
        *_checked(rows),
    ]


def _adjusted(rows: list[Any]) -> str:
    """What is said of there being several comparisons; a finding counts them all."""
    if len(rows) == 1:
        return ""
    text = (
        f" Findings count all {len(rows)} comparisons made here (Holm): they go by the adjusted intervals; the others are "
        "per comparison."
    )
    fallen = [row for row in rows if row.finding == NONE and row.p <= 1 - row.confidence]
    if not fallen:
        return text
    names = [
        " ".join(filter(None, [row.model, at, _view(row, rows)])) + f" (p = {row.p:.2g}, adjusted {row.p_holm:.2g})"
        for row in fallen
        for at in ["" if math.isnan(row.guidance_scale) else f"at {_guidance(row.guidance_scale)}"]
    ]
    return f"{text} Alone, but not among them all, these would be findings: {listing(names)}."


def _checked(rows: list[Any]) -> list[str]:
    """The jackknife's errors beside those of random halves."""
    ratios = [row.half_sampling_error / row.standard_error for row in rows if row.standard_error > 0]
    if not ratios:
        return []
    low, high = (f"{f(ratios):.2f}" for f in (min, max))
    text = (
        "Check: standard errors from random halves of the images (no image twice) are "
        f"{low if low == high else f'{low} to {high}'} times the jackknife's."
    )
    if min(ratios) < CHECK[0] or max(ratios) > CHECK[1]:
        text += " They disagree: do not trust these intervals; N is too small, or a few images decide the result."
    return [text]


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
