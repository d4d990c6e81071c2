"""FIDs of subsets of one arm's images (all but one block, halves, quarters), and the subsets that statistics need.

Against a fixed reference, features are projected once. A subset needs its sum, its sum of squares and the Gram matrix of its
projected rows: N x N below the reference's rank r, r x r above. Leaving rows out subtracts their contribution, so each further
value costs little more than one eigenvalue decomposition. Deviations are taken from the mean of all images to avoid
cancellation of large numbers. Against a sampled reference: `two_sample`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from emudrift.evaluation.blocks import Blocks
from emudrift.evaluation.fid.frechet import TOLERANCE as EXACT
from emudrift.evaluation.fid.frechet import Projection, combine, nuclear_norm, project, roots_of_gram
from emudrift.features.statistics import ReferenceRoot

Array = np.ndarray
# Looser than `frechet.TOLERANCE`: an SVD per block would take minutes, and 1e-8 of a trace of some hundreds, times the
# factor 19 of the pseudo-values, is still far below the width of any interval.
TOLERANCE = 1e-8
# Gives a standard error with a relative error of about 11 % (20 blocks: 16 %), which is enough for a cross-check.
HALVINGS = 40
SPLITS = 3
"""Splits into halves and quarters, over which the order of the bias is averaged."""


class Part:
    """Consecutive rows of a projection: computes their FID, also with some of the rows left out.

    Args:
        projection: of n images.
        rows: the consecutive rows, at least 2.
    """

    def __init__(self, projection: Projection, rows: slice) -> None:
        self.projection = projection
        self.rows = projection.rows[rows]
        self.squares = projection.squares[rows]
        self.features = projection.features[rows]
        n, r = self.rows.shape
        # Gram matrix over rows or over columns, whichever is smaller.
        self.by_rows = n < r
        self.gram = self.rows @ self.rows.T if self.by_rows else self.rows.T @ self.rows
        self.total = self._deviation(slice(0, n))
        self.row_total = self.rows.sum(axis=0)

    def __len__(self) -> int:
        return len(self.rows)

    def fid(self, without: slice | Array | None = None, tolerance: float | None = None) -> float:
        """FID of the part, optionally with some rows left out.

        Args:
            without: rows of the part to leave out, counted from its first; at least 2 must remain.
            tolerance: relative to tr Σ_g + tr Σ_r, default TOLERANCE; if the error of the eigenvalues may exceed it, an SVD
                is used instead.
        """
        out = np.arange(len(self))[slice(0, 0) if without is None else without]
        left = len(self) - len(out)
        total = self.total - self._deviation(out) if len(out) else self.total
        squares = float(self.squares.sum() - self.squares[out].sum())
        reference = self.projection.reference
        trace = (squares - float(total @ total) / left) / (left - 1)
        allowed = (TOLERANCE if tolerance is None else tolerance) * (trace + reference.trace)
        # A Gram matrix over columns of far fewer rows has too many eigenvalues that should be 0.
        few = not self.by_rows and left <= self.rows.shape[1]
        roots = None if few else roots_of_gram(self._gram_without(out, left) / (left - 1), left - 1, allowed)
        if roots is None:
            rows = np.delete(self.rows, out, axis=0)
            rows -= rows.mean(axis=0)
            roots = nuclear_norm(rows / np.sqrt(left - 1), left - 1, allowed)
        return combine(self.projection.mean + total / left, trace, roots, reference)

    def _deviation(self, rows: slice | Array) -> Array:
        """Sum (d,) of the rows' deviations from the mean of all images."""
        features = self.features[rows]
        return features.sum(axis=0, dtype=np.float64) - len(features) * self.projection.mean

    def _gram_without(self, out: Array, left: int) -> Array:
        """The centred Gram matrix of the `left` remaining rows."""
        if self.by_rows:
            kept = np.delete(np.arange(len(self)), out)
            gram = self.gram[np.ix_(kept, kept)] if left < len(self) else self.gram.copy()
            means = gram.mean(axis=0)
            gram += means.mean() - means - means[:, None]
            return gram
        removed = self.rows[out]
        total = self.row_total - removed.sum(axis=0)
        gram = self.gram - np.outer(total, total) / left
        if len(removed):
            gram -= removed.T @ removed
        return gram


@dataclass(frozen=True, eq=False)
class Resampled:
    """FIDs of one arm's images, and of subsets of the blocks that they are divided into.

    `full`: all blocks. `without` (G,): all but block g. `halves`, `quarters` (SPLITS,): means over the two halves and four
    quarters of each split of the blocks; None for fewer than 8 blocks. `random_halves` (HALVINGS, 2): both halves of further
    splits; None where they were not asked for. Splits are the same for every arm.
    """

    full: float
    without: Array
    halves: Array | None
    quarters: Array | None
    random_halves: Array | None


def resample(fid: Callable[[Array], float], groups: int, random_halves: bool = False) -> Resampled:
    """The values of a statistic that its bias and its standard error are estimated from.

    Args:
        fid: the statistic of the blocks kept (groups,) bool.
        random_halves: also the cross-check of the standard error, which takes longer than all the rest.
    """

    def mean(parts: list[Array]) -> float:
        return float(np.mean([fid(kept) for kept in parts]))

    everything = np.ones(groups, dtype=bool)
    without = np.array([fid(np.arange(groups) != block) for block in range(groups)])
    halves = quarters = None
    if groups >= 8:
        splits = list(block_splits(groups, SPLITS, 4))
        quarters = np.array([mean(four) for four in splits])
        halves = np.array([mean([a | b, c | d]) for a, b, c, d in splits])
    checks = None
    if random_halves and groups >= 4:
        checks = np.array([[fid(one), fid(other)] for one, other in block_splits(groups, HALVINGS, 2)])
    return Resampled(fid(everything), without, halves, quarters, checks)


def block_splits(groups: int, splits: int, parts: int) -> Iterator[list[Array]]:
    """Yields random divisions of the blocks into parts of about equal size, each a (groups,) bool; the same for every arm."""
    rng = np.random.default_rng([groups, parts])
    for _ in range(splits):
        order = rng.permutation(groups)
        yield [np.isin(np.arange(groups), part) for part in np.array_split(order, parts)]


def fixed_distances(features: Array, reference: ReferenceRoot, blocks: Blocks) -> Callable[[Array], float]:
    """The FID of any subset of the blocks against a fixed reference, as a function of those kept (G,) bool.

    Raises:
        InputError: as `frechet.project`.
    """
    part = Part(project(features, reference), slice(0, len(features)))

    def fid(kept: Array) -> float:
        return part.fid(np.flatnonzero(~kept[blocks.labels]), EXACT if kept.all() else None)

    return fid
