"""The points of the exchange rate: each strength of a fine-tuned model, with what it sees and what it draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from emudrift.evaluation.exchange.measured import Measured


class Strength(NamedTuple):
    """What is varied: a model, by how much its adapter counts, and after how many training steps; NaN where there is none."""

    model: str
    adapter_scale: float = math.nan
    step: float = math.nan


@dataclass(frozen=True, eq=False)
class Point:
    """A strength at a guidance scale.

    Attributes:
        key: the strength, as one hashable text: NaN is not equal to itself.
        guidance_scale: NaN for an arm without one, which stands at every guidance scale.
        arm: the arm that drew.
        seeing: higher is better.
        drawing: higher or lower is better (`Axes`).
        reliable: whether there are enough images for a difference in drawing to be claimed.
    """

    strength: Strength
    guidance_scale: float
    arm: str
    seeing: Measured
    drawing: Measured
    reliable: bool = True

    @property
    def key(self) -> str:
        return repr(tuple(self.strength))


@dataclass(frozen=True)
class Axes:
    """What the two axes measure, for the table: task, metric and sample size of seeing; metric, extractor and N of drawing.

    Where another metric stands in place of seeing (`exchange: bought`), `task` is its name for people.
    """

    task: str
    seeing_metric: str
    seeing_n: int
    drawing_metric: str
    drawing_higher_is_better: bool
    extractor: str
    weights: str
    reference_selection: str
    drawing_n: int

    @property
    def better(self) -> int:
        """+1 where more of the drawing metric is better, −1 where less is."""
        return 1 if self.drawing_higher_is_better else -1


def at_guidance_scales(points: Sequence[Point], baseline: str) -> list[tuple[float, list[Point]]]:
    """The points that are compared with each other: those of equal guidance scale, and those without one everywhere.

    The baseline comes first, then each model's points in the order of steps and scales, those of the last step first.
    """
    models = [baseline, *dict.fromkeys(point.strength.model for point in points)]

    def place(point: Point) -> tuple[int, float, float]:
        model, scale, step = point.strength
        last = max((p.strength.step for p in points if p.strength.model == model), default=math.nan)
        return models.index(model), -math.inf if _same(step, last) else step, -math.inf if math.isnan(scale) else scale

    points = sorted(points, key=place)
    scales = sorted({point.guidance_scale for point in points if not math.isnan(point.guidance_scale)}) or [math.nan]
    return [
        (scale, [p for p in points if math.isnan(p.guidance_scale) or p.guidance_scale == scale]) for scale in scales
    ]


def full_strength(points: Sequence[Point]) -> Point:
    """Of one model's points at one guidance scale that of the last step, with the adapter at scale 1, or else the largest."""

    def rank(point: Point) -> tuple[float, bool, float]:
        _, scale, step = point.strength
        return (-math.inf if math.isnan(step) else step, scale == 1, -math.inf if math.isnan(scale) else scale)

    return max(points, key=rank)


def lines(points: Sequence[Point]) -> list[list[Point]]:
    """One model's points at one guidance scale as lines: along the adapter's scale at the last step, and along the steps at full
    strength, each with at least two points, in their order."""
    full = full_strength(points)
    along_scale = [p for p in points if _same(p.strength.step, full.strength.step)]
    along_steps = [p for p in points if _same(p.strength.adapter_scale, full.strength.adapter_scale)]
    along_scale.sort(key=lambda p: p.strength.adapter_scale)
    along_steps.sort(key=lambda p: p.strength.step)
    return [line for line in (along_scale, along_steps) if len(line) > 1]


def before(point: Point, points: Sequence[Point], baseline: Point) -> Point:
    """The next weaker point of the same model: along the adapter's scale, or along the steps; the baseline before the first."""
    for line in lines(points):
        place = next((place for place, other in enumerate(line) if other is point), None)
        if place is not None:
            return line[place - 1] if place else baseline
    return baseline


def labels(points: Sequence[Point]) -> dict[str, str]:
    """A short name for each of one model's points, by key: `scale 0.5`, `step 100`, or both; without what does not vary."""
    full = full_strength(points).strength
    scales, steps = ({repr(getattr(p.strength, name)) for p in points} for name in ("adapter_scale", "step"))
    found = {}
    for point in points:
        _, scale, step = point.strength
        last = _same(step, full.step)
        parts = [f"scale {scale:g}"] if len(scales) > 1 and (last or scale != full.adapter_scale) else []
        parts += [f"step {step:,.0f}"] if len(steps) > 1 and not (last and parts) else []
        found[point.key] = ", ".join(parts) or point.strength.model
    return found


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
