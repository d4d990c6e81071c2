"""Estimates whose errors are known block by block, so that intervals of their differences and ratios count what they share.

Whatever leaves out the same blocks of prompts, or scores the same questions, is correlated: the covariance of two estimates is
the sum over blocks of the products of their deviations. A share such as "60 % of the gain is kept" is a ratio of two such
estimates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from emudrift.evaluation.intervals import CONFIDENCE, Estimate, of_pseudo_values, t_interval

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Measured:
    """An estimate and what each block adds to its error.

    Attributes:
        value: the estimate.
        deviations: (G,) of the blocks, in units of the estimate: their sum of squares is its variance, and their product with
            those of another estimate over the same blocks is the covariance of the two.
    """

    value: float
    deviations: Array

    def minus(self, other: "Measured") -> "Measured":
        """The paired difference. Raises ValueError where the two do not have the same number of blocks."""
        if self.deviations.shape != other.deviations.shape:
            raise ValueError(f"{len(self.deviations)} and {len(other.deviations)} blocks: nothing is paired")
        return Measured(self.value - other.value, self.deviations - other.deviations)

    @property
    def degrees(self) -> int:
        return len(self.deviations) - 1

    def interval(self, confidence: float = CONFIDENCE) -> Estimate:
        """The t interval with G − 1 degrees of freedom."""
        error = float(np.sqrt(self.deviations @ self.deviations))
        return t_interval(self.value, error, self.degrees, confidence, f"t interval over {len(self.deviations)} blocks")


def of_blocks(pseudo: Sequence[float] | Array, block_sizes: Sequence[int] | Array) -> Measured:
    """A jackknife estimate from its pseudo-values, with the variance of `intervals.of_pseudo_values`.

    Args:
        pseudo: (G,) as `intervals.pseudo_values` gives.
        block_sizes: (G,).
    """
    pseudo, sizes = np.asarray(pseudo, dtype=np.float64), np.asarray(block_sizes)
    estimate = of_pseudo_values(pseudo, np.append(0, np.cumsum(sizes))).estimate
    h = sizes.sum() / sizes
    return Measured(estimate, (pseudo - estimate) / np.sqrt((h - 1) * len(sizes)))


def of_scores(scores: Sequence[float] | Array, groups: Sequence[int] | Array = ()) -> Measured:
    """The mean of scores (n,), one per question or image, with the variance of `intervals.mean_interval`.

    Args:
        groups: of each score, 0 to G − 1, where those of one group (questions of one image) depend on each other; () if none do.
    """
    values = np.asarray(scores, dtype=np.float64)
    off = values - values.mean()
    sums = np.bincount(np.asarray(groups), weights=off) if len(groups) else off
    return Measured(float(values.mean()), sums * np.sqrt(len(sums) / (len(sums) - 1)) / len(values))


def ratio(part: Measured, whole: Measured, confidence: float = CONFIDENCE) -> tuple[float, float, float] | None:
    """The share `part` / `whole` with its interval, by Fieller's theorem; None where the interval of `whole` includes 0.

    The interval holds every r for which `part` − r · `whole` does not differ from 0, by the t test with G − 1 degrees of freedom.
    It is exact where both are normal, which an interval around the ratio is not: a ratio of noisy numbers is skewed, and biased.
    Where `whole` does not differ from 0 that set is unbounded, and there is no ratio to speak of. Source: Fieller 1954, Journal
    of the Royal Statistical Society B 16, 175-185.

    Returns:
        Estimate, low, high.
    """
    t = float(stdtrit(whole.degrees, (1 + confidence) / 2))
    a, b = part.value, whole.value
    aa, ab, bb = (
        t**2 * float(one @ other)
        for one, other in (
            (part.deviations, part.deviations),
            (part.deviations, whole.deviations),
            (whole.deviations, whole.deviations),
        )
    )
    below = b**2 - bb
    if below <= 0:
        return None
    half = np.sqrt(max((a * b - ab) ** 2 - below * (a**2 - aa), 0.0)) / below
    centre = (a * b - ab) / below
    return a / b, float(centre - half), float(centre + half)
