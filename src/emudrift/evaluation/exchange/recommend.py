"""The strength that a declared tolerance allows: which are shown to lie within the margins, and which of them to take."""

from collections.abc import Sequence
from typing import Literal

from emudrift.evaluation.exchange.points import Axes, Point

Fit = Literal["yes", "no", "not shown", ""]


def fit_of(
    point: Point,
    full: Point,
    baseline: Point,
    axes: Axes,
    margin_drawing: float | None,
    margin_seeing: float | None,
    confidence: float,
) -> Fit:
    """Whether a point draws worse than the baseline by less than one margin, and sees worse than full strength by less than the
    other.

    yes: shown, by the ends of the intervals (one-sided tests; both must hold, so neither needs an adjustment for the other). no:
    one of the two is shown to be exceeded. "": no margin was declared.

    Args:
        margin_drawing, margin_seeing: above 0; None: any loss is tolerated.
        confidence: of the intervals, so that they hold together for all points that are asked about.
    """
    shown: list[bool] = []
    if margin_drawing is not None:
        lost = point.drawing.minus(baseline.drawing).interval(confidence)
        low, high = (lost.low, lost.high) if axes.better < 0 else (-lost.high, -lost.low)
        if not point.reliable:
            shown.append(False)
        elif low > margin_drawing:
            return "no"
        else:
            shown.append(high < margin_drawing)
    if margin_seeing is not None:
        lost = full.seeing.minus(point.seeing).interval(confidence)
        if lost.low > margin_seeing:
            return "no"
        shown.append(lost.high < margin_seeing)
    if not shown:
        return ""
    return "yes" if all(shown) else "not shown"


def recommended(fitting: Sequence[Point], axes: Axes, margin_drawing: float | None) -> Point | None:
    """Of the points within the margins the one that sees best; where none is declared for drawing, the one that draws best."""
    if not fitting:
        return None
    if margin_drawing is None:
        return max(fitting, key=lambda point: axes.better * point.drawing.value)
    return max(fitting, key=lambda point: point.seeing.value)
