"""The scope of a finding: the guidance scales, extractors and references it holds for."""

import math
from collections.abc import Callable
from typing import Any

from emudrift.config.experiment import SELECTIONS
from emudrift.report.elements.wording import extractor_label, listing

# Dimensions along which a finding may vary: plural name, and the value of a comparison along it.
DIMENSIONS: dict[str, Callable[[Any], Any]] = {
    "guidance scales": lambda row: f"{row.guidance_scale:g}",
    "extractors": lambda row: row.extractor,
    "references": lambda row: row.reference_selection,
}


def guidance(scale: float) -> str:
    return f"guidance {scale:g}"


def percent(row: Any) -> str:
    return f"{row.confidence * 100:.3g} %"


def scales_of(rows: list[Any]) -> list[float]:
    return sorted({row.guidance_scale for row in rows if not math.isnan(row.guidance_scale)})


def view_of(row: Any, rows: list[Any]) -> str:
    """Extractor and reference of a comparison, each only if it varies between the rows."""
    extractors = [each.extractor for each in rows]
    names = [f"under {extractor_label(row.extractor, extractors)}"] if len(set(extractors)) > 1 else []
    several = len({each.reference_selection for each in rows if each.extractor == row.extractor}) > 1
    names += [f"with {SELECTIONS[row.reference_selection]} as reference"] if several else []
    return " ".join(names)


def place_of(row: Any, rows: list[Any]) -> str:
    """The conditions of one comparison that tell it from the others: `under inception at guidance 3`."""
    view = view_of(row, rows)
    alone = math.isnan(row.guidance_scale) or (view and len(scales_of(rows)) < 2)
    return " ".join(filter(None, [view, "" if alone else f"at {guidance(row.guidance_scale)}"]))


def places_of(found: list[Any], rows: list[Any]) -> str:
    """The conditions in words: guidance scales, plus extractors and references if these vary."""
    parts = []
    for view in dict.fromkeys(view_of(row, rows) for row in found):
        scales = scales_of([row for row in found if view_of(row, rows) == view])
        everywhere = len(scales) == len(scales_of([row for row in rows if view_of(row, rows) == view]))
        at = "" if view and everywhere else f"at guidance {listing(f'{scale:g}' for scale in scales)}"
        parts.append(" ".join(filter(None, [view, at])))
    return listing(parts)


def differ_across(rows: list[Any], of: Callable[[Any], Any]) -> list[str]:
    """Names of the dimensions along which `of` varies between one model's comparisons, all others being equal."""
    names = []
    for name, along in DIMENSIONS.items():
        others = [each for other, each in DIMENSIONS.items() if other != name]
        groups: dict[Any, dict[Any, Any]] = {}
        for row in rows:
            groups.setdefault(tuple(each(row) for each in others), {})[along(row)] = of(row)
        if any(len(set(group.values())) > 1 for group in groups.values()):
            names.append(name)
    return names
