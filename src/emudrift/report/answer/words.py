"""The one vocabulary of the answer: each of the findings in words, with its amount, and the sentence on one model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from emudrift.config.extractors import distance_name
from emudrift.evaluation.findings import BETTER, INCONCLUSIVE, NO_WORSE, ROUNDING, TOO_FEW, WORSE, Finding
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION
from emudrift.evaluation.tables import rows_of
from emudrift.report.answer.scope import differ_across, guidance, percent, place_of, scales_of
from emudrift.report.elements.wording import decimals, interval_text, listing, number


def sentence(rows: list[Any], comparisons: int, missing: Sequence[str] = ()) -> str:
    """What the comparisons of one model with the baseline show: what, by how much, how sure.

    Args:
        rows: of comparison.csv at one N.
        comparisons: number of comparisons at this N, those of other models included.
        missing: arms without a counterpart, as clauses.
    """
    findings = list(dict.fromkeys(row.finding for row in rows))
    model, baseline, together = rows[0].model, rows[0].baseline, comparisons > 1
    if findings == [TOO_FEW]:
        text = f"Too few images to compare {model} with {baseline} {_everywhere(rows)}".rstrip()
        text = f"{text}: {listing(dict.fromkeys(map(_shortage, rows)))}"
    elif all(row.low_simultaneous == row.high_simultaneous == 0 for row in rows):
        text = f"{model} and {baseline} have exactly the same distance {_everywhere(rows)}".rstrip()
    elif len(findings) == 1:
        text = _agreeing(findings[0], rows, together)
    else:
        text = _mixed(rows, together)
    if findings == [TOO_FEW]:
        return f"{'; '.join([text, *missing])}."
    if len(findings) == 1 and not missing:
        return f"{text} ({_sure(rows, comparisons)})."
    return f"{'; '.join([text, *missing, _sure(rows, comparisons)])}."


def _agreeing(finding: Finding, rows: list[Any], together: bool) -> str:
    """Where all comparisons of a model have the same finding."""
    model, baseline, where = rows[0].model, rows[0].baseline, _everywhere(rows)
    several = len({distance_name(row.extractor) for row in rows}) > 1
    if finding == INCONCLUSIVE:
        possible = _listed(
            rows, lambda row: _possible(row, together, named=row is rows[0] or several), f" than {baseline}"
        )
        return f"{' '.join(filter(None, ['Inconclusive', where]))}: {model} may be {possible}"
    amounts = _listed(rows, lambda row: amount(row, together, named=row is rows[0] or several))
    return f"{' '.join(filter(None, [model, claim(finding, rows), where]))}: {amounts}"


def claim(finding: Finding, rows: list[Any]) -> str:
    """`is worse than base`; of comparisons that all have that finding, which is no INCONCLUSIVE or TOO_FEW."""
    baseline = rows[0].baseline
    if finding != NO_WORSE:
        return f"is {finding} than {baseline}"
    margins = listing(dict.fromkeys(f"{row.margin:g}" for row in rows))
    if all(row.low_simultaneous > 0 for row in rows):
        return f"is worse than {baseline}, but by less than the margin of {margins},"
    return f"is no worse than {baseline} by the margin of {margins}"


def _mixed(rows: list[Any], together: bool) -> str:
    """Where the findings of a model differ: the claims first, each comparison with its amount."""
    groups = {each: [row for row in rows if row.finding == each] for each in (WORSE, BETTER, NO_WORSE)}
    claims = [(finding, ours) for finding, ours in groups.items() if ours]
    parts = []
    for place, (finding, ours) in enumerate(claims):
        said = f"{rows[0].model} {claim(finding, ours)}" if not place else claim(finding, ours).removeprefix("is ")
        said = finding if place and finding in (WORSE, BETTER) else said
        parts.append(f"{said} {_placed(ours, rows, lambda row: amount(row, together))}")
    told = [" and ".join(parts)] if parts else []
    for finding, word in (
        (INCONCLUSIVE, lambda row: _possible(row, together)),
        (TOO_FEW, _shortage),
    ):
        ours = [row for row in rows if row.finding == finding]
        told += [f"{finding} {_placed(ours, rows, word)}"] if ours else []
    between = differ_across(rows, lambda row: row.finding) or ["comparisons"]
    if groups[WORSE] and groups[BETTER]:
        depends = listing(f"the {name.removesuffix('s')}" for name in between)
        return f"The answer depends on {depends}: {'; '.join(told)}"
    return f"The findings differ between {listing(between)}: {'; '.join(told)}"


def amount(row: Any, together: bool, *, named: bool = True) -> str:
    """`FID +12.3 [9.8 to 14.9]`, with the interval that the finding goes by."""
    difference, interval = interval_text(row, "_simultaneous" if together else "")
    name = f"{distance_name(row.extractor)} " if named else ""
    return f"{name}{difference} [{interval}]"


def _possible(row: Any, together: bool, *, named: bool = True) -> str:
    """What an inconclusive comparison leaves possible: `up to 27 worse or 21 better in FID`."""
    low, high = (row.low_simultaneous, row.high_simultaneous) if together else (row.low, row.high)
    places = decimals(high - low)
    name = f" in {distance_name(row.extractor)}" if named else ""
    return f"up to {number(max(high, 0.0), places)} worse or {number(max(-low, 0.0), places)} better{name}"


def _shortage(row: Any) -> str:
    return f"N = {row.n:,}, of the {needed(row):,} that {row.dims:,} feature dimensions need"


def needed(row: Any) -> int:
    """The fewest images per arm with which a comparison like this one has a finding."""
    return math.ceil(MIN_N_PER_DIMENSION * row.dims)


def _sure(rows: list[Any], comparisons: int) -> str:
    held = f"intervals that hold together for {comparisons} comparisons" if comparisons > 1 else "interval"
    return f"{percent(rows[0])} {held}, N = {rows[0].n:,} images per arm"


def _listed(rows: list[Any], word: Any, after: str = "") -> str:
    """`+6.0 [3 to 9] at guidance 1 and +12.0 [9 to 15] at guidance 3`; without the place where there is one comparison."""
    if len(rows) == 1:
        return f"{word(rows[0])}{after}"
    return listing(f"{word(row)}{after if row is rows[0] else ''} {place_of(row, rows)}" for row in rows)


def _placed(ours: list[Any], rows: list[Any], word: Any) -> str:
    """`at guidance 1 (FID +6.0 [3 to 9]) and at guidance 3 (…)`."""
    return listing(f"{place_of(row, rows)} ({word(row)})" for row in ours)


def _everywhere(rows: list[Any]) -> str:
    """`at guidance 3`; or what all comparisons together vary: `at every guidance scale and for every extractor`."""
    scales = scales_of(rows)
    parts = ["at every guidance scale"] if len(scales) > 1 else [f"at {guidance(scales[0])}"] if scales else []
    parts += ["for every extractor"] if len({row.extractor for row in rows}) > 1 else []
    parts += ["with each reference"] if len({row.reference_selection for row in rows}) > 1 else []
    return listing(parts) if parts else ""


def black_images(fid: pd.DataFrame, replaced: Mapping[str, int]) -> list[str]:
    """A sentence on the images that are black ones of a safety checker and count in the distances; none without such images.

    Args:
        fid: fid.csv.
        replaced: their number by arm.
    """
    arms = fid.drop_duplicates("arm")
    named = [
        f"{replaced[row.arm]:,} of {row.model}"
        + ("" if math.isnan(row.guidance_scale) else f" at {guidance(row.guidance_scale)}")
        for row in rows_of(arms)
        if replaced.get(row.arm)
    ]
    if not named:
        return []
    return [f"Images that a safety checker replaced by black ones are counted: {listing(named)}."]


def _at(row: Any) -> str:
    return "" if math.isnan(row.guidance_scale) else f" at {guidance(row.guidance_scale)}"


def identical_sentence(rows: list[Any], *, alone: bool) -> str:
    """On a model's arms that are controls, at one N; `alone`: it has no other arm that is compared."""
    model, scales = rows[0].model, scales_of(rows)
    at = "" if alone or not scales else f" at guidance {listing(f'{scale:g}' for scale in scales)}"
    return (
        f"The images of {model}{at} are byte-identical to those of {rows[0].baseline}: a control, for which nothing is tested "
        "and which counts in no adjustment."
    )


def identical_statement(row: Any, rows: list[Any]) -> str:
    """The same of one comparison among all at this N."""
    place = " ".join(filter(None, [f"{row.model} and {row.baseline}", place_of(row, rows)]))
    return f"{place}: all {row.n:,} images are byte-identical, a control; nothing is tested."


def rounding_remark(row: Any) -> str:
    """What has to be said with a finding about a difference that rounding alone could make; empty for all others."""
    small = row.finding in (WORSE, BETTER, NO_WORSE) and 0 < abs(row.difference_jackknife) < ROUNDING
    if not small or (row.finding == NO_WORSE and row.low_simultaneous <= 0):
        return ""
    if distance_name(row.extractor) != "FID" or row.weights == "random":
        return ""
    return (
        f"A difference this small says little about the images: rounding alone moves a FID by {ROUNDING:g} (the same images, "
        "Inception in bfloat16 against float32)."
    )


def missing_arms(model: str, baseline: str, scales: dict[str, set[float]]) -> list[str]:
    """Clauses on the arms of a model and of the baseline that have no counterpart.

    Args:
        scales: the guidance scales of each model's arms; NaN for an arm without one, which is compared with every arm.
    """
    ours, theirs = (scales.get(name, set()) for name in (model, baseline))
    if any(map(math.isnan, ours | theirs)):
        return []
    pairs = ((model, theirs - ours), (baseline, ours - theirs))
    return [
        f"nothing can be said at guidance {listing(f'{scale:g}' for scale in sorted(lacking))}, where {name} has no arm"
        for name, lacking in pairs
        if lacking
    ]
