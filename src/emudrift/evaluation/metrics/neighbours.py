"""Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020, arXiv:2002.09797).

All count which images lie in balls around images of the other set; a ball reaches to the k-th nearest image of its own set.

    precision: generated images that lie in the ball of a real one            recall: real ones in that of a generated one
    density:   balls of real images that a generated one lies in, over k      coverage: real balls that hold a generated one

As in the authors' programs, an image on the rim is inside for precision and recall and outside for density and coverage
(so that a set against itself has density 1), and k is 3 for the former, 5 for the latter.
Squared distances come from matrix products in float64, a few thousand rows at a time: memory grows with N, not with N².
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from emudrift.errors import InputError
from emudrift.evaluation.intervals import FIXED

Array = np.ndarray
PRECISION_K = 3
DENSITY_K = 5
# Two ways to the same squared distance differ by some 1e-13 of it; what differs by less than this is on the rim.
RIM = 1e-9
CHUNK_ELEMENTS = 1 << 24
REFERENCE_SEED = 0


@dataclass(frozen=True)
class LeaveOneOut:
    """A metric, and its values (G,) without each block of generated images, the real ones unchanged."""

    value: float
    without: Array


def precision_recall(
    generated: Array, real: Array, edges: Array, k: int = PRECISION_K
) -> tuple[LeaveOneOut, LeaveOneOut]:
    """Precision and recall of generated (n, d) against real (m, d) features.

    Args:
        edges: (G + 1,) of the blocks of generated rows.

    Raises:
        InputError: fewer than k + 1 images of a set, or of the generated ones without a block.
    """
    generated, real = _ready(generated, real, edges, k)
    radii, own = _radii(real, k), _radii_without(generated, edges, k)
    inside = np.zeros(len(generated), dtype=bool)
    reached = np.zeros((len(real), len(edges)), dtype=bool)
    for rows, squares in _distances(real, generated):
        inside |= (squares <= radii[rows, None] * (1 + RIM)).any(axis=0)
        hit = squares <= own[:, 0] * (1 + RIM)
        reached[rows, 0] = hit.any(axis=1)
        for block, (start, stop) in enumerate(pairwise(edges), start=1):
            hit = squares <= own[:, block] * (1 + RIM)
            hit[:, start:stop] = False
            reached[rows, block] = hit.any(axis=1)
    shares = reached.mean(axis=0)
    return _mean(inside.astype(np.float64), edges), LeaveOneOut(float(shares[0]), shares[1:])


def density_coverage(
    generated: Array, real: Array, edges: Array, k: int = DENSITY_K
) -> tuple[LeaveOneOut, LeaveOneOut]:
    """Density and coverage; arguments and errors as `precision_recall`."""
    generated, real = _ready(generated, real, edges, k)
    radii = _radii(real, k)
    balls = np.zeros(len(generated))
    covered = np.zeros((len(real), len(edges)), dtype=bool)
    for rows, squares in _distances(real, generated):
        inside = squares < radii[rows, None] * (1 - RIM)
        balls += inside.sum(axis=0)
        counts = np.add.reduceat(inside, edges[:-1], axis=1, dtype=np.int64)
        total = counts.sum(axis=1)
        covered[rows, 0] = total > 0
        covered[rows, 1:] = total[:, None] > counts
    shares = covered.mean(axis=0)
    return _mean(balls / k, edges), LeaveOneOut(float(shares[0]), shares[1:])


def _ready(generated: Array, real: Array, edges: Array, k: int) -> tuple[Array, Array]:
    """Both sets in float64 about the real mean, which keeps the cancellation in squared distances small."""
    left = len(generated) - int(np.diff(edges).max())
    for count, what in ((len(real), "real images"), (left, "generated images without a block of the jackknife")):
        if count <= k:
            raise InputError(
                f"neighbours of order {k} need more than {k} images, found {count} {what}; raise sample_sizes"
            )
    mean = real.mean(axis=0, dtype=np.float64)
    return generated.astype(np.float64) - mean, real.astype(np.float64) - mean


def _mean(values: Array, edges: Array) -> LeaveOneOut:
    """The mean of one number per generated image (n,)."""
    sums, sizes = np.add.reduceat(values, edges[:-1]), np.diff(edges)
    return LeaveOneOut(float(values.mean()), (values.sum() - sums) / (len(values) - sizes))


def _distances(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Squared distances (c, m) of c rows of a at a time to all rows of b."""
    squares_a, squares_b = (a * a).sum(axis=1), (b * b).sum(axis=1)
    step = max(1, CHUNK_ELEMENTS // len(b))
    for start in range(0, len(a), step):
        rows = slice(start, min(start + step, len(a)))
        yield rows, (squares_a[rows, None] + squares_b - 2 * (a[rows] @ b.T)).clip(min=0)


def _radii(features: Array, k: int) -> Array:
    """Squared distances (n,) of each row to its k-th nearest other row."""
    radii = np.empty(len(features))
    for rows, squares in _distances(features, features):
        squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = np.inf
        radii[rows] = np.partition(squares, k - 1, axis=1)[:, k - 1]
    return radii


def _radii_without(features: Array, edges: Array, k: int) -> Array:
    """The same (n, G + 1): of all rows, then without those of each block. Those of a row that is left out itself mean nothing.

    The k nearest of every block are enough to know the k nearest of any choice of blocks.
    """
    blocks = list(pairwise(edges))
    radii = np.empty((len(features), len(blocks) + 1))
    for rows, squares in _distances(features, features):
        squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = np.inf
        nearest = np.full((len(squares), len(blocks), k), np.inf)
        for block, (start, stop) in enumerate(blocks):
            count = min(k, stop - start)
            nearest[:, block, :count] = np.partition(squares[:, start:stop], count - 1, axis=1)[:, :count]
        radii[rows, 0] = np.partition(nearest.reshape(len(squares), -1), k - 1, axis=1)[:, k - 1]
        for block in range(len(blocks)):
            others = np.delete(nearest, block, axis=1).reshape(len(squares), -1)
            radii[rows, block + 1] = np.partition(others, k - 1, axis=1)[:, k - 1]
    return radii


def as_many(real: Array, n: int) -> Array:
    """As many real images (n, d) as there are generated ones: the same for all arms, and nested in n."""
    if len(real) <= n:
        return real
    return real[np.sort(np.random.default_rng(REFERENCE_SEED).permutation(len(real))[:n])]


def method(k: int, blocks: int, chosen: int, real: int) -> str:
    """How the interval of such a metric is computed."""
    return (
        f"k = {k}; plain value with the standard error of a block jackknife, {blocks} blocks, t interval; {FIXED}: "
        f"{chosen:,} of {real:,} real images"
    )
