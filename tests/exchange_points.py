"""Points of an exchange rate whose truth is known, for the tests of its table, words and figure."""

import math

import numpy as np

from emudrift.evaluation.exchange.measured import of_blocks, of_scores
from emudrift.evaluation.exchange.points import Axes, Point, Strength

# The miniature's, measured (FACTS.md section 8): share of captions that are right, and a distance that grows with the scale.
SEEING = {math.nan: 0.137, 0.5: 0.342, 0.75: 0.473, 1.0: 0.477}
DRAWING = {math.nan: 10.0, 0.5: 10.8, 0.75: 14.0, 1.0: 22.0}
BLOCKS = 20


def axes_of(**changes: object) -> Axes:
    found = {
        "task": "scenes", "seeing_metric": "vqa_accuracy", "seeing_n": 2000, "drawing_metric": "fid",
        "drawing_higher_is_better": False, "extractor": "inception-9f8e7d6c5b4a", "weights": "published",
        "reference_selection": "full", "drawing_n": 400,
    }  # fmt: skip
    return Axes(**(found | changes))


def points(
    scales: tuple[float, ...] = (2.0,),
    *,
    seeing: dict[float, float] = SEEING,
    drawing: dict[float, float] = DRAWING,
    n: int = 2000,
    error: float = 0.5,
    seed: int = 1,
    reliable: bool = True,
    steps: dict[float, tuple[float, float]] | None = None,
) -> list[Point]:
    """The baseline (scale NaN) and `finetuned` at each scale; answers to one question and images of one prompt are correlated.

    Args:
        steps: training step to what is seen and drawn there, at scale 1; the points of `seeing` are then of the last step.
    """
    generator = np.random.default_rng(seed)
    hardness, shared = generator.uniform(size=n), generator.standard_normal((len(scales), BLOCKS))
    last = math.nan if steps is None else max(steps) + 100

    def strength(scale: float) -> Strength:
        return Strength("base") if math.isnan(scale) else Strength("finetuned", scale, last)

    wanted = [(strength(scale), seeing[scale], drawing[scale]) for scale in seeing]
    wanted += [(Strength("finetuned", 1.0, step), *values) for step, values in (steps or {}).items()]
    found = []
    for place, (which, share, distance) in enumerate(wanted):
        # Half of what decides about an answer is the question.
        seen = of_scores((0.5 * hardness + 0.5 * generator.uniform(size=n) < _quantile(share)).astype(float))
        for row, guidance in enumerate(scales):
            noise = 0.6 * shared[row] + 0.8 * generator.standard_normal(BLOCKS)
            pseudo = distance * (1 + 0.1 * row) + error * math.sqrt(BLOCKS) * (noise - 0.5 * noise.mean())
            arm = f"{which.model}-{place}-cfg{guidance:g}"
            found.append(Point(which, guidance, arm, seen, of_blocks(pseudo, [20] * BLOCKS), reliable))
    return found


def _quantile(share: float) -> float:
    """Of the mean of two uniform numbers."""
    return math.sqrt(share / 2) if share <= 0.5 else 1 - math.sqrt((1 - share) / 2)
