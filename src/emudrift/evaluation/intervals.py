"""Intervals for a FID and for the difference of two, FID at infinite N, several comparisons, and how many images.

A plain FID is too large, the more so the smaller N, and by another amount for each model: equal N does not cancel it,
and plain differences favour the less diverse model. The centre of the delete-one-block jackknife removes most of the part
of order 1/N; its spread gives the interval. Measured coverage of nominal 95 % (`bench/coverage.py`: 32 dimensions, true FID
known, Gaussian and heavy tails, 600 repetitions of each case):

    N/d                                    1           2.5         5           10
    one FID, jackknife                .40 to .96  .93 to .98  .92 to .97  .96 to .98
    paired difference, jackknife      .90 to .97  .94 to .98  .94 to .98  .94 to .96
    paired difference, FID∞           .97 to .99  .95 to .99  .95 to .99  .95 to .98

Its error is not too small: 1.0 to 1.25 times the spread of a paired difference from N/d = 2.5 on, and up to 1.6 times that
of one FID with heavy tails. The delta method's is larger still with heavy tails, so it is not taken, nor the larger of both.

What the interval holds fixed: the reference. It tells how the result would vary with other captions and images from the
same model, not with other real images.
Where it is not valid: below N/d = 2.5 (a difference), and one FID that is small beside its bias, since 2 to 18 % of that
bias is left from there on. docs/statistics.md has all figures.

Sources: Busing, Meijer & van der Leeden 1999, Statistics and Computing 9, 3-8 (delete-m_j jackknife); Tukey 1958.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

from emudrift.errors import InputError

Array = np.ndarray

BLOCKS = 20
CONFIDENCE = 0.95
"""Of every interval."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval, in units of FID; `method` in words, for the report.

    `standard_error` has `degrees` degrees of freedom, one less than there were blocks.
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
        """Two-sided p value, of Student's t with `degrees` degrees of freedom, for a true value of 0."""
        if self.standard_error == 0:
            return float(self.estimate == 0)
        return float(2 * stdtr(self.degrees, -abs(self.estimate) / self.standard_error))


def block_edges(n: int, blocks: int = BLOCKS) -> Array:
    """Edges (G + 1,) of G = min(blocks, n // 2) contiguous blocks of n rows, whose sizes differ by one at most.

    Rows are in random order (see `prompts`), so a contiguous block is a random one.

    Raises:
        InputError: fewer than 4 rows, of which no two blocks leave a covariance behind.
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
        ValueError: other shapes, or fewer than 2 blocks.
    """
    leave_one_out = np.asarray(leave_one_out, dtype=np.float64)
    groups = len(edges) - 1
    if groups < 2 or leave_one_out.shape != (groups,):
        raise ValueError(
            f"leave_one_out has shape {leave_one_out.shape}; expected one value for each of {groups} >= 2 blocks"
        )
    h = (edges[-1] - edges[0]) / np.diff(edges)
    # h full − (h − 1) loo, written so that no difference of large numbers is left where full and loo agree.
    pseudo_values = full + (h - 1) * (full - leave_one_out)
    # Weights 1 / h = m_g / n sum to 1.
    estimate = float(np.sum(pseudo_values / h))
    error = float(np.sqrt(np.mean((pseudo_values - estimate) ** 2 / (h - 1))))
    return t_interval(estimate, error, groups - 1, confidence, METHOD.format(groups))


def t_interval(estimate: float, error: float, degrees: int, confidence: float, method: str) -> Estimate:
    """The interval of an estimate with a standard error, by Student's t."""
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
    """Estimate of b − a, paired: row i of both arms must belong to the same prompt, and both to the same `edges`.

    Blocks that are hard for both arms cancel; ignoring the pairing doubles the interval where captions differ in
    difficulty. Arguments as in `jackknife`.
    """
    return jackknife(full_b - full_a, np.subtract(leave_one_out_b, leave_one_out_a), edges, confidence)


def half_sampling_error(random_halves_a: Array, random_halves_b: Array) -> float:
    """Standard error of the difference b − a from random halves of the images: a check on the jackknife's.

    √ mean_k ((d_k − d'_k) / 2)², where d_k is the difference of both arms on a random half of the prompts and d'_k on the other
    half. A bootstrap that draws without replacement: no image is there twice, which would make covariances too small, and
    the bias, alike in both halves, cancels. Half-sampling: McCarthy 1969, Review of the International Statistical Institute
    37, 239-264; as the delete-d jackknife with d = n / 2: Shao & Wu 1989, Annals of Statistics 17, 1176-1197.

    Args:
        random_halves_a, random_halves_b: (K, 2) FIDs of both halves, of the same images in both arms (`resampling`).

    Raises:
        ValueError: other shapes.
    """
    difference = np.subtract(random_halves_b, random_halves_a)
    if difference.ndim != 2 or difference.shape[1] != 2 or not len(difference):
        raise ValueError(f"random halves have shape {difference.shape}; expected (K, 2)")
    return float(np.sqrt(np.mean((difference[:, 0] - difference[:, 1]) ** 2)) / 2)


def extrapolate(n: Sequence[float] | Array, fids: Sequence[float] | Array) -> tuple[float, float]:
    """FID∞ and slope of the line FID = FID∞ + slope / N, by least squares (Chong & Forsyth 2020, arXiv:1911.07023).

    Args:
        n, fids: (k,), for at least 2 different n.

    Raises:
        ValueError: other shapes, an n of 0 or less, or no 2 different ones.
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

    Chong & Forsyth fit FIDs of random subsets of 15 sizes. Here all images count equally at both sizes: the line goes
    through the full FID and the mean of the halves. FIDs enter linearly, so differences of two arms may be given for FIDs.

    Args:
        full, leave_one_out, edges: as in `jackknife`, (G,) for G >= 4 blocks.
        halves: (2,) of the blocks before G // 2, and of the others.
        halves_leave_one_out: (G,) of the half with block g, without this block.

    Returns:
        FID∞. Measured (`bench/coverage.py`): 3 to 15 % of the plain FID's bias is left at N/d = 2.5 to 10, a little more than
        of the jackknife's centre; intervals of differences cover .95 to .99.

    Raises:
        ValueError: other shapes, or fewer than 4 blocks.
    """
    leave_one_out, halves_leave_one_out = np.asarray(leave_one_out), np.asarray(halves_leave_one_out)
    groups, n = len(edges) - 1, int(edges[-1] - edges[0])
    if groups < 4 or halves_leave_one_out.shape != (groups,) or np.shape(halves) != (2,):
        raise ValueError(f"expected 2 halves and {groups} >= 4 of them without a block, found {np.shape(halves)} and "
                         f"{halves_leave_one_out.shape}")  # fmt: skip
    sizes, middle = np.diff(edges), groups // 2
    first = int(edges[middle] - edges[0])

    def line(n_all: int, value: float, n_halves: tuple[int, int], of_halves: tuple[float, float]) -> float:
        # At the mean of both 1 / n, halves of unlike sizes lie on one line with each other.
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
    """p values adjusted for being several, in the order given: below α, a finding stands with all others counted.

    The k-th smallest of m is multiplied by m − k + 1; none becomes smaller than one before it, or larger than 1. Valid
    whatever the dependence between them (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

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


def holm_confidences(p_values: Sequence[float], confidence: float = CONFIDENCE) -> list[float]:
    """The confidence, in the order given, at which each interval excludes 0 exactly where `holm` finds something.

    With α = 1 − confidence, that of the k-th smallest of m p values is 1 − α / (m − k + 1), and none is wider than that of the
    first which is not found. These are the levels at which Holm's procedure tests.

    Raises:
        ValueError: as `holm`.
    """
    alpha, m = 1 - confidence, len(p_values)
    found = sum(p <= alpha for p in holm(p_values))
    ranks = np.empty(m, dtype=np.int64)
    ranks[np.argsort(np.asarray(p_values, dtype=np.float64), kind="stable")] = np.arange(m)
    return [1 - alpha / (m - min(int(rank), found)) for rank in ranks]


def required_n(
    standard_error: float,
    n: int,
    difference: float,
    power: float = 0.8,
    alpha: float = 0.05,
    degrees: int = BLOCKS - 1,
) -> int:
    """How many images per arm find a true `difference`, from the standard error that a pilot of n images had.

    A standard error falls as 1 / √n, so n (δ · standard_error / difference)² images do, where δ is the noncentrality with
    which the two-sided t test of size alpha has the power asked for (Cohen 1988, Statistical Power Analysis, ch. 2). Where
    the pilot is small beside the feature dimension its error carries more than sampling, and the answer is rather too large.

    Args:
        standard_error: of the paired difference (`Estimate.standard_error`).
        difference: in units of FID, of either sign; the smallest that would matter.
        degrees: of freedom of the test, one less than the blocks.

    Raises:
        InputError: difference 0, a negative standard error, n < 1, or a power or alpha that is none.
    """
    if not (difference and np.isfinite(difference) and standard_error >= 0 and n >= 1 and 0 < alpha < power < 1):
        raise InputError(
            f"required_n: found standard error {standard_error}, n {n}, difference {difference}, power {power}, alpha "
            f"{alpha}; expected an error of at least 0, n >= 1, a difference other than 0, and 0 < alpha < power < 1"
        )
    noncentrality = float(nctdtrinc(degrees, 1 - power, stdtrit(degrees, 1 - alpha / 2)))
    return max(int(np.ceil(n * (noncentrality * standard_error / difference) ** 2)), 1)


def block_interval(value: float, leave_one_out: Sequence[float], n: int, corrected: bool) -> Estimate:
    """The t interval of a statistic of n images, or of the difference of two, from its values without each block.

    Args:
        corrected: about the jackknife's estimate; else about the value itself.
    """
    found = jackknife(value, np.array(leave_one_out), block_edges(n, len(leave_one_out)))
    if corrected:
        return found
    return t_interval(value, found.standard_error, found.degrees, found.confidence, found.method)


def mean_interval(values: Array) -> Estimate:
    """The t interval of the mean of independent values (n,), one per image; paired where they are differences."""
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return t_interval(float(values.mean()), error, len(values) - 1, CONFIDENCE, "t interval over images")
