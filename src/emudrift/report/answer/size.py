"""How large a difference is, in steps of the ladder: `about what JPEG quality 35 costs`. Never extrapolated."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from emudrift.evaluation.findings import BETTER, NO_WORSE, WORSE
from emudrift.evaluation.ladder import LadderRecord, Rung
from emudrift.report.answer.scope import place_of

BETWEEN = {"jpeg": "JPEG qualities {:g} and {:g}", "blur": "blurs of {:g} and {:g} px"}


def size_of(difference: float, ladder: LadderRecord) -> str:
    """`about what JPEG quality 35 costs real images`, or between two steps; empty where no two steps enclose the difference.

    A step is named alone if the difference lies within its interval (the nearest, if two are), else the two that enclose it.
    """
    if not ladder.reliable:
        return ""
    found = [said for kind in BETWEEN if (said := _among([r for r in ladder.rungs if r.kind == kind], abs(difference)))]
    return ", and ".join([f"{found[0]} real images", *found[1:]]) if found else ""


def _among(steps: list[Rung], size: float) -> str:
    """Args: steps: of one kind, from mild to severe."""
    for mild, severe in pairwise(steps):
        if 0 < mild.distance <= size <= severe.distance:
            near = [step for step in (mild, severe) if step.low <= size <= step.high]
            if near:
                return f"about what {min(near, key=lambda step: abs(math.log(step.distance / size))).label} costs"
            return f"between what {BETWEEN[mild.kind].format(mild.level, severe.level)} cost"
    return ""


def sizes(rows: list[Any], ladders: Mapping[str, LadderRecord]) -> str:
    """A sentence on the differences that were found, among the comparisons of one model; empty where there is nothing to say."""
    found = [
        (row, said)
        for row in rows
        if is_certain(row) and row.extractor in ladders
        if (said := size_of(row.difference_jackknife, ladders[row.extractor]))
    ]
    if not found:
        return ""
    if len(rows) == 1:
        return f"In size, the difference of {rows[0].model} is {found[0][1]}."
    return f"In size, the difference of {rows[0].model} is {'; '.join(f'{place_of(row, rows)} {said}' for row, said in found)}."


def is_certain(row: Any) -> bool:
    """Whether the interval that the finding goes by excludes 0."""
    return row.finding in (WORSE, BETTER) or (row.finding == NO_WORSE and row.low_simultaneous > 0)
