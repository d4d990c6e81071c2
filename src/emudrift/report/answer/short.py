"""The answer in one sentence, for the first screen of the page, however many comparisons there are."""

import math
from collections.abc import Sequence
from typing import Any

from emudrift.config.extractors import distance_name
from emudrift.evaluation.findings import BETTER, INCONCLUSIVE, NO_WORSE, TOO_FEW, WORSE, Finding
from emudrift.report.answer.scope import guidance, percent
from emudrift.report.answer.words import amount, claim
from emudrift.report.elements.wording import listing

ORDER: tuple[Finding, ...] = (WORSE, BETTER, NO_WORSE, INCONCLUSIVE, TOO_FEW)


def short_answer(rows: list[Any], comparisons: int | None = None) -> str:
    """One sentence on all comparisons at the largest N; the rest of the page has the others in words.

    Numbers are those of one extractor and reference (FID, if it is there), and the sentence says whether the others agree.

    Args:
        rows: of comparison.csv at one N, one or more.
        comparisons: for how many simultaneous intervals hold together; default: for these.
    """
    together = comparisons or len(rows)
    first = next((row for row in rows if distance_name(row.extractor) == "FID"), rows[0])
    view = _view(first)
    ours = [row for row in rows if _view(row) == view]
    models = list(dict.fromkeys(row.model for row in ours))
    scales = list(dict.fromkeys(_scale(row) for row in ours))
    if len(models) == 1:
        said = f"{models[0]} {_clauses(ours, _scale, together)}"
    elif len(scales) == 1:
        at = f" at {scales[0]}" if scales[0] else ""
        said = f"Against {first.baseline}{at}: {_by_model(ours, together)}"
    else:
        said = f"Of {len(ours)} comparisons with {first.baseline}, {_counted(ours, together)}"
    held = (
        f"{percent(first)} intervals that hold together for {together} comparisons" if together > 1 else percent(first)
    )
    if together == 1:
        held = f"{percent(first)} interval"
    return f"{said}{_agreement(ours, rows)} ({held}, N = {first.n:,} images per arm)."


def _view(row: Any) -> tuple[str, str]:
    return row.extractor, row.reference_selection


def _scale(row: Any) -> str:
    return "" if math.isnan(row.guidance_scale) else guidance(row.guidance_scale)


def _groups(rows: Sequence[Any]) -> dict[Finding, list[Any]]:
    return {finding: found for finding in ORDER if (found := [row for row in rows if row.finding == finding])}


def _clauses(rows: list[Any], place: Any, comparisons: int) -> str:
    """`is worse than base at guidance 1 (FID +2.8 [1.4 to 4.2]); inconclusive at guidance 3`."""
    parts = []
    for finding, found in _groups(rows).items():
        where = listing(f"at {place(row)}" for row in found if place(row))
        if finding in (INCONCLUSIVE, TOO_FEW):
            parts.append(f"{finding} {where}".strip())
            continue
        amounts = listing(amount(row, comparisons > 1, named=row is rows[0] or not parts) for row in found)
        said = finding if parts and finding in (WORSE, BETTER) else claim(finding, found)
        parts.append(" ".join(filter(None, [said, where, f"({amounts})"])))
    if not any(finding in _groups(rows) for finding in (WORSE, BETTER, NO_WORSE)):
        amounts = listing(amount(row, comparisons > 1) for row in rows)
        return f"against {rows[0].baseline}: {'; '.join(parts)} ({amounts})"
    return "; ".join(parts)


def _by_model(rows: list[Any], comparisons: int) -> str:
    """`finetuned60 (FID +1.5 [0.4 to 2.6]) to finetuned100 (+7.0 [5.7 to 8.3]) are worse`, smallest and largest of many."""
    parts = []
    for finding, found in _groups(rows).items():
        if finding in (INCONCLUSIVE, TOO_FEW):
            parts.append(f"{listing(row.model for row in found)} {finding}")
            continue
        found = sorted(found, key=lambda row: abs(row.difference_jackknife))
        shown = found if len(found) <= 2 else [found[0], found[-1]]
        named = [f"{row.model} ({amount(row, comparisons > 1)})" for row in shown]
        many = listing(named) if len(found) <= 2 else f"{len(found)} models, {named[0]} to {named[1]},"
        parts.append(f"{many} {'is' if len(found) == 1 else 'are'} {_adjective(finding, found)}")
    return "; ".join(parts)


def _counted(rows: list[Any], comparisons: int) -> str:
    parts = []
    for finding, found in _groups(rows).items():
        text = f"{len(found)} {'is' if len(found) == 1 else 'are'} {_adjective(finding, found)}"
        if finding in (WORSE, BETTER):
            most = max(found, key=lambda row: abs(row.difference_jackknife))
            at = f" at {_scale(most)}" if _scale(most) else ""
            text += f" (most: {most.model}{at}, {amount(most, comparisons > 1)})"
        parts.append(text)
    return ", ".join(parts)


def _adjective(finding: Finding, rows: list[Any]) -> str:
    if finding == NO_WORSE:
        return f"no worse by the margin of {listing(dict.fromkeys(f'{row.margin:g}' for row in rows))}"
    return "with too few images" if finding == TOO_FEW else finding


def _agreement(ours: list[Any], rows: list[Any]) -> str:
    """Whether other extractors and references find the same of each model at each scale."""
    others = [row for row in rows if _view(row) != _view(ours[0])]
    if not others:
        return ""
    found = {(row.model, _scale(row)): row.finding for row in ours}
    names = [
        *(["extractors"] if len({row.extractor for row in rows}) > 1 else []),
        *(["references"] if len({row.reference_selection for row in rows}) > 1 else []),
    ]
    differ = sum(found.get((row.model, _scale(row))) != row.finding for row in others)
    if not differ:
        return f"; the other {listing(names)} find the same"
    return f"; the other {listing(names)} find otherwise in {differ} of {len(others)} comparisons"
