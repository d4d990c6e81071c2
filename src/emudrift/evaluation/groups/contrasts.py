"""Differences of a per-prompt score inside a group of prompts, and how they differ from those on the other prompts.

A prompt's difference d_i is the model's score less the baseline's. Inside a group the estimate is their mean. The interaction is
that mean less the mean on the other prompts: it is what "the loss is larger there" is about. That one difference is
significant and the other is not says nothing of it (Gelman & Stern 2006, American Statistician 60, 328-331). Both sides have
their own variance (Welch 1947, Biometrika 34, 28-35), summed over what is independent: prompts that share an image, theme or
template count as one observation (Liang & Zeger 1986, Biometrika 73, 13-22).

Many such tests of the same prompts depend on each other: groups overlap, two groups of one column are each other's rest, and the
guidance scales share the prompts. `together` takes the correlation of all tests from their influence values, and adjusts by the
largest of as many correlated normal deviates (single-step max-t: Westfall & Young 1993; Hothorn, Bretz & Westfall 2008,
Biometrical Journal 50, 346-363), which holds for every subset of true null hypotheses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from emudrift.evaluation.intervals import CONFIDENCE, Estimate, t_interval

Array = np.ndarray
DRAWS = 20_000
SEED = 20_231
"""Of the deviates, so that equal inputs give equal tables; their error is .0015 at an adjusted p of .05."""
METHOD = "mean over prompts, t interval"
AGAINST_REST = "difference of means, Welch's t interval"


@dataclass(frozen=True, eq=False)
class Contrast:
    """An estimate from per-prompt differences.

    Attributes:
        found: with its t interval.
        influence: (C,) what each independent observation adds to the estimate; the sum of their squares is its variance.
    """

    found: Estimate
    influence: Array


def inside(differences: Array, members: Array, clusters: Array) -> Contrast:
    """The mean of the differences (n,) of a group's members (n,) bool; clusters (n,): 0 to C − 1, what is independent."""
    influence, degrees = _mean_influence(differences, members, clusters)
    return _contrast(float(differences[members].mean()), influence, degrees, METHOD)


def against_rest(differences: Array, members: Array, rest: Array, clusters: Array) -> Contrast:
    """The mean of the members' differences less that of the rest's. Arguments as `inside`."""
    ours, our_degrees = _mean_influence(differences, members, clusters)
    theirs, their_degrees = _mean_influence(differences, rest, clusters)
    a, b = float(ours @ ours), float(theirs @ theirs)
    parts = a**2 / our_degrees + b**2 / their_degrees
    degrees = (a + b) ** 2 / parts if parts > 0 else min(our_degrees, their_degrees)
    estimate = float(differences[members].mean() - differences[rest].mean())
    return _contrast(estimate, ours - theirs, degrees, AGAINST_REST)


def independent(members: Array, clusters: Array) -> int:
    """How many independent observations the members are."""
    return len(np.unique(clusters[members]))


def _mean_influence(differences: Array, members: Array, clusters: Array) -> tuple[Array, float]:
    """Influence (C,) of a mean, scaled so that the sum of squares is its unbiased variance; and its degrees of freedom."""
    off = np.where(members, differences - differences[members].mean(), 0) / members.sum()
    count = independent(members, clusters)
    if count < 2:
        raise ValueError("a mean of one observation has no variance")
    sums = np.bincount(clusters, weights=off, minlength=int(clusters.max()) + 1)
    return sums * np.sqrt(count / (count - 1)), count - 1


def _contrast(estimate: float, influence: Array, degrees: float, method: str) -> Contrast:
    error = float(np.sqrt(influence @ influence))
    return Contrast(t_interval(estimate, error, degrees, CONFIDENCE, method), influence)


@dataclass(frozen=True)
class Adjusted:
    """An estimate among others: its interval that holds together with theirs, and its adjusted p value."""

    low: float
    high: float
    p: float


def together(estimates: Sequence[Estimate], influences: Sequence[Array | None]) -> list[Adjusted]:
    """Intervals that hold together, each with its adjusted p value: the interval excludes 0 where p is below 1 − confidence.

    Marginal p values stay those of each estimate's t test: they are compared with the smallest of as many correlated ones.

    Args:
        influences: (C,) of each estimate, all over the same observations; None where it is not known what an estimate depends
            on: it is adjusted for by its own p value (Bonferroni), which is always valid.
    """
    if not estimates:
        return []
    p = np.array([each.p_value for each in estimates])
    known = [influence for influence in influences if influence is not None and influence @ influence > 0]
    largest = np.sort(_largest_deviates(known)) if known else np.zeros(DRAWS)
    others = len(estimates) - len(known)

    def adjusted(values: Array) -> Array:
        """Of marginal p values."""
        deviates = -ndtri(values / 2)
        exceeded = 1 - np.searchsorted(largest, deviates, side="left") / DRAWS
        exceeded = np.maximum(exceeded, values) if known else np.zeros_like(values)
        return np.minimum(np.minimum(exceeded + others * values, len(estimates) * values), 1.0)

    # The marginal level whose adjusted p is 1 − confidence, by bisection: `adjusted` never falls.
    low, high = (1 - CONFIDENCE) / len(estimates), 1 - CONFIDENCE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if adjusted(np.array([middle]))[0] <= 1 - CONFIDENCE else (low, middle)
    found = []
    for each, value in zip(estimates, adjusted(p), strict=True):
        wide = t_interval(each.estimate, each.standard_error, each.degrees, 1 - low, each.method)
        found.append(Adjusted(wide.low, wide.high, float(value)))
    return found


def _largest_deviates(influences: Sequence[Array]) -> Array:
    """(DRAWS,) the largest absolute value of normal deviates that are correlated as the estimates are."""
    random = np.random.default_rng(SEED)
    rows = np.stack(influences)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    # A trace of independence: groups that are each other's rest make the matrix singular.
    root = np.linalg.cholesky((rows @ rows.T + 1e-9 * np.eye(len(rows))) / (1 + 1e-9))
    found = [np.abs(random.standard_normal((DRAWS // 20, len(rows))) @ root.T).max(axis=1) for _ in range(20)]
    return np.concatenate(found)
