"""Intervals for FIDs and their differences, FID at infinite N, multiple comparisons, and required sample sizes.

The plain FID is biased upwards, more so for smaller N, and by a model-dependent amount: the bias does not cancel at equal N,
and plain differences favour the less diverse model. The delete-one-block jackknife removes most of the O(1/N) bias, and the
spread of its pseudo-values gives the interval. Measured coverage of nominal 95 % intervals (`bench/coverage.py`: 32
dimensions, known true FID, Gaussian and heavy-tailed features, 600 repetitions per case):

    N/d                                    1           2.5         5           10
    one FID, jackknife                .40 to .96  .93 to .98  .92 to .97  .96 to .98
    paired difference, jackknife      .90 to .97  .94 to .98  .94 to .98  .94 to .96
    paired difference, FID∞           .97 to .99  .95 to .99  .95 to .99  .95 to .98

The jackknife's standard error is not too small: 1.0 to 1.25 times the true standard deviation of a paired difference for
N/d >= 2.5, and up to 1.6 times that of a single FID with heavy tails. The delta method's is larger still with heavy tails, so
neither it nor the maximum of the two is used.

The reference is held fixed: intervals reflect variation over captions and over images from the same model, not over the
choice of real images.
Intervals are not valid for differences below N/d = 2.5, nor for a single FID that is small compared with its bias, since 2 to
18 % of that bias remains. See docs/statistics.md for all figures.

Sources: Busing, Meijer & van der Leeden 1999, Statistics and Computing 9, 3-8 (delete-m_j jackknife); Tukey 1958.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from emudrift.errors import InputError

Array = np.ndarray

BLOCKS = 20
CONFIDENCE = 0.95
"""Confidence level of every interval."""
MIN_N_PER_DIMENSION = 2.5
"""Images per feature dimension below which no difference of FIDs is claimed: `bench/coverage.py`, docs/statistics.md."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval, in units of FID; `method` is a description for the report.

    `standard_error` has `degrees` degrees of freedom, the number of blocks minus one.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    method: str
    standard_error: float
    degrees: int

    @property
    def p_value(self) -> float:
        """Two-sided p value of a t test with `degrees` degrees of freedom against a true value of 0."""
        if self.standard_error == 0:
            return float(self.estimate == 0)
        return float(2 * stdtr(self.degrees, -abs(self.estimate) / self.standard_error))


def block_edges(n: int, blocks: int = BLOCKS) -> Array:
    """Edges (G + 1,) of G = min(blocks, n // 2) contiguous blocks of n rows, whose sizes differ by at most one.

    Rows are in random order (see `prompts`), so contiguous blocks are random subsets.

    Raises:
        InputError: fewer than 4 rows: a covariance could not be estimated after leaving out one of two blocks.
    """
    if n < 4:
        raise InputError(f"an interval needs at least 4 images, found {n}; raise sample_sizes")
    groups = min(blocks, n // 2)
    return np.arange(groups + 1) * n // groups


INFINITY_METHOD = "line in 1/N through N and N/2, delete-one-block jackknife, {} blocks, t interval"

METHOD = "delete-one-block jackknife, {} blocks, t interval"
FIXED = "the reference held fixed"
PAIRED = "real images left out with those drawn for their captions"
"""What a jackknife does with the real images; ends the text of a method. They stand in tables, so they stay as they are."""


def jackknife(full: float, leave_one_out: Array, edges: Array, confidence: float = CONFIDENCE) -> Estimate:
    """Bias-corrected estimate and t interval with G - 1 degrees of freedom.

    Pseudo-values p_g = h full − (h − 1) loo_g with h = n / m_g for a block of m_g rows; estimate Σ p_g / h; variance
    Σ (p_g − estimate)² / (h − 1) / G (Busing et al. 1999). With equal blocks these are the mean of the pseudo-values
    and its squared standard error.

    Args:
        full: the statistic of all n rows.
        leave_one_out: (G,) the statistic without each block.
        edges: (G + 1,) from `block_edges`.

    Raises:
        ValueError: wrong shapes, or fewer than 2 blocks.
    """
    leave_one_out = np.asarray(leave_one_out, dtype=np.float64)
    groups = len(edges) - 1
    if groups < 2 or leave_one_out.shape != (groups,):
        raise ValueError(
            f"leave_one_out has shape {leave_one_out.shape}; expected one value for each of {groups} >= 2 blocks"
        )
    h = (edges[-1] - edges[0]) / np.diff(edges)
    # h full − (h − 1) loo, written without cancellation of large numbers for full ≈ loo.
    pseudo_values = full + (h - 1) * (full - leave_one_out)
    # Weights 1 / h = m_g / n sum to 1.
    estimate = float(np.sum(pseudo_values / h))
    error = float(np.sqrt(np.mean((pseudo_values - estimate) ** 2 / (h - 1))))
    return t_interval(estimate, error, groups - 1, confidence, METHOD.format(groups))


def enough_images(n: int, dims: int) -> bool:
    """Whether the intervals of n images with `dims` feature dimensions are known to cover the truth as often as they say."""
    return n >= MIN_N_PER_DIMENSION * dims


def t_interval(estimate: float, error: float, degrees: int, confidence: float, method: str) -> Estimate:
    """The Student's t interval of an estimate with a given standard error."""
    half_width = float(stdtrit(degrees, (1 + confidence) / 2)) * error
    return Estimate(estimate, estimate - half_width, estimate + half_width, confidence, method, error, degrees)


def paired_difference(
    full_a: float,
    leave_one_out_a: Array,
    full_b: float,
    leave_one_out_b: Array,
    edges: Array,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Paired estimate of b − a: row i of both arms must belong to the same prompt, and both arms must use the same `edges`.

    Variation that both arms share cancels; ignoring the pairing doubles the interval if captions vary in difficulty.
    Arguments as in `jackknife`.
    """
    return jackknife(full_b - full_a, np.subtract(leave_one_out_b, leave_one_out_a), edges, confidence)


def half_sampling_error(random_halves_a: Array, random_halves_b: Array) -> float:
    """Standard error of the difference b − a by half-sampling, a cross-check of the jackknife's.

    √ mean_k ((d_k − d'_k) / 2)², where d_k is the difference between the arms on a random half of the prompts and d'_k on the
    other half. Resampling is without replacement: no image occurs twice, which would make covariances too small, and the
    bias, which is the same in both halves, cancels. Half-sampling: McCarthy 1969, Review of the International Statistical
    Institute 37, 239-264; as the delete-d jackknife with d = n / 2: Shao & Wu 1989, Annals of Statistics 17, 1176-1197.

    Args:
        random_halves_a, random_halves_b: (K, 2) FIDs of both halves, with the same splits in both arms (`resampling`).

    Raises:
        ValueError: wrong shapes.
    """
    difference = np.subtract(random_halves_b, random_halves_a)
    if difference.ndim != 2 or difference.shape[1] != 2 or not len(difference):
        raise ValueError(f"random halves have shape {difference.shape}; expected (K, 2)")
    return float(np.sqrt(np.mean((difference[:, 0] - difference[:, 1]) ** 2)) / 2)


def extrapolate(n: Sequence[float] | Array, fids: Sequence[float] | Array) -> tuple[float, float]:
    """FID∞ and slope of the least-squares fit FID = FID∞ + slope / N (Chong & Forsyth 2020, arXiv:1911.07023).

    Args:
        n, fids: (k,), with at least 2 distinct n.

    Raises:
        ValueError: wrong shapes, an n of 0 or less, or fewer than 2 distinct n.
    """
    sizes, y = np.asarray(n, dtype=np.float64), np.asarray(fids, dtype=np.float64)
    if sizes.ndim != 1 or sizes.shape != y.shape or not (sizes > 0).all() or len(np.unique(sizes)) < 2:
        raise ValueError(f"n {sizes.shape} and fids {y.shape}: expected (k,) each, n above 0, at least 2 different")
    x = 1 / sizes
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    return float(y.mean()) - slope * float(x.mean()), slope


def fid_infinity(
    full: float,
    leave_one_out: Array,
    halves: Array,
    halves_leave_one_out: Array,
    edges: Array,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """FID∞ from the FIDs of all n images and of their two halves, with a jackknife interval over the same blocks.

    Chong & Forsyth fit FIDs of random subsets of 15 sizes. Here all images have equal weight at both sizes: the line passes
    through the full FID and the mean of the two halves. FIDs enter linearly, so differences between two arms may be passed
    instead of FIDs.

    Args:
        full, leave_one_out, edges: as in `jackknife`, (G,) for G >= 4 blocks.
        halves: (2,) FIDs of the blocks before G // 2, and of the rest.
        halves_leave_one_out: (G,) FID of the half that contains block g, without this block.

    Returns:
        FID∞. Measured (`bench/coverage.py`): 3 to 15 % of the plain FID's bias remains at N/d = 2.5 to 10, slightly more than
        for the jackknife; coverage of intervals for differences is .95 to .99.

    Raises:
        ValueError: wrong shapes, or fewer than 4 blocks.
    """
    leave_one_out, halves_leave_one_out = np.asarray(leave_one_out), np.asarray(halves_leave_one_out)
    groups, n = len(edges) - 1, int(edges[-1] - edges[0])
    if groups < 4 or halves_leave_one_out.shape != (groups,) or np.shape(halves) != (2,):
        raise ValueError(f"expected 2 halves and leave-one-out values of {groups} >= 4 blocks, found {np.shape(halves)} and "
                         f"{halves_leave_one_out.shape}")  # fmt: skip
    sizes, middle = np.diff(edges), groups // 2
    first = int(edges[middle] - edges[0])

    def line(n_all: int, value: float, n_halves: tuple[int, int], of_halves: tuple[float, float]) -> float:
        # FID is linear in 1 / n, so the mean FID of halves of unequal size belongs to the mean of their 1 / n.
        return extrapolate([n_all, 2 / sum(1 / k for k in n_halves)], [value, float(np.mean(of_halves))])[0]

    without = np.array([
        line(n - size, leave_one_out[g], (first - size, n - first), (halves_leave_one_out[g], halves[1])) if g < middle
        else line(n - size, leave_one_out[g], (first, n - first - size), (halves[0], halves_leave_one_out[g]))
        for g, size in enumerate(sizes)
    ])  # fmt: skip
    value = line(n, full, (first, n - first), (halves[0], halves[1]))
    error = jackknife(value, without, edges, confidence).standard_error
    return t_interval(value, error, groups - 1, confidence, INFINITY_METHOD.format(groups))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p values, in the order given; comparing them with α controls the family-wise error rate.

    The k-th smallest of m is multiplied by m − k + 1, made monotone and capped at 1. Valid under any dependence (Holm 1979,
    Scandinavian Journal of Statistics 6, 65-70).

    Raises:
        ValueError: a p value outside 0 to 1, NaN among them.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p values must lie in 0 to 1, found {p.tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return adjusted.tolist()


def simultaneous(estimates: Sequence[Estimate]) -> list[tuple[Estimate, float]]:
    """Intervals that hold all together with the confidence of one, each with its adjusted p value (Bonferroni).

    An interval excludes 0 exactly where its adjusted p value is below 1 − confidence.
    """
    m = len(estimates)
    return [
        (
            t_interval(each.estimate, each.standard_error, each.degrees, 1 - (1 - each.confidence) / m, each.method),
            min(m * each.p_value, 1.0),
        )
        for each in estimates
    ]


def block_interval(value: float, leave_one_out: Sequence[float], n: int, corrected: bool) -> Estimate:
    """The t interval of a statistic of n images, or of a difference, from its leave-one-block-out values.

    Args:
        corrected: centre the interval on the bias-corrected jackknife estimate instead of the value itself.
    """
    found = jackknife(value, np.array(leave_one_out), block_edges(n, len(leave_one_out)))
    if corrected:
        return found
    return t_interval(value, found.standard_error, found.degrees, found.confidence, found.method)


def mean_interval(values: Array) -> Estimate:
    """The t interval of the mean of independent values (n,), one per image; for paired differences pass the differences."""
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return t_interval(float(values.mean()), error, len(values) - 1, CONFIDENCE, "t interval over images")
