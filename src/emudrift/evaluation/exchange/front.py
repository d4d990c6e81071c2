"""The Pareto front of seeing and drawing, and what can be said of it with certainty."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from emudrift.evaluation.exchange.points import Axes, Point


@dataclass(frozen=True)
class Place:
    """Where a point lies: on the front by the estimates or not, and whether the intervals leave no doubt of that."""

    on_front: bool
    certain: bool


def places(points: Sequence[Point], axes: Axes, confidence: float) -> list[Place]:
    """The place of each of the points, which belong to one guidance scale.

    A point is on the front if no other is at least as good on both axes and better on one. That it is, is certain where it is
    better than each other point on one of the axes; that it is not, where some other is better on both; each by an interval of
    the paired difference that excludes 0.

    Args:
        confidence: of each interval, so that those of all pairs hold together (`pairs_of`).
    """
    count = range(len(points))
    worth = [(point.seeing.value, axes.better * point.drawing.value) for point in points]
    surely = [[_surely_better(points[i], points[j], axes, confidence) for j in count] for i in count]
    found = []
    for i in count:
        others = [j for j in count if j != i]
        on_front = not any(
            worth[j][0] >= worth[i][0] and worth[j][1] >= worth[i][1] and worth[j] != worth[i] for j in others
        )
        certain = all(any(surely[i][j]) for j in others) if on_front else any(all(surely[j][i]) for j in others)
        found.append(Place(on_front, certain))
    return found


def pairs_of(groups: Sequence[Sequence[Point]]) -> int:
    """The number of paired differences that the fronts of all guidance scales go by: of drawing at each, of seeing once (a model
    sees the same at every guidance scale; another gain is measured on the images, and differs)."""
    drawing = sum(len(group) * (len(group) - 1) // 2 for group in groups)
    seeing = {
        frozenset((id(one.seeing), id(other.seeing)))
        for group in groups
        for one, other in itertools.combinations(group, 2)
    }
    return drawing + len(seeing)


def _surely_better(one: Point, other: Point, axes: Axes, confidence: float) -> tuple[bool, bool]:
    """Whether the first is better in seeing, and in drawing, beyond doubt."""
    if one is other:
        return False, False
    seeing = one.seeing.minus(other.seeing).interval(confidence)
    drawing = one.drawing.minus(other.drawing).interval(confidence)
    reliable = one.reliable and other.reliable
    return seeing.low > 0, reliable and (drawing.low > 0 if axes.better > 0 else drawing.high < 0)
