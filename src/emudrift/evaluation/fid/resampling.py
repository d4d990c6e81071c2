"""FIDs of subsets of one arm's images (the first N, all but one block, a half), from a single projection of the features.

A subset needs its sum, its sum of squares and the Gram matrix of its projected rows: N x N below the reference's rank r,
r x r above. Leaving rows out subtracts their contribution, so each further value costs little more than one eigenvalue
decomposition. Deviations are taken from the mean of all images to avoid cancellation of large numbers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from emudrift.evaluation.fid.frechet import TOLERANCE as EXACT
from emudrift.evaluation.fid.frechet import Projection, combine, fid, nuclear_norm, roots_of_gram
from emudrift.features.statistics import reference_root, statistics

Array = np.ndarray
# Looser than `frechet.TOLERANCE`: an SVD per block would take minutes, and 1e-8 of a trace of some hundreds, times the
# factor 19 of the pseudo-values, is still far below the width of any interval.
TOLERANCE = 1e-8
# Gives a standard error with a relative error of about 11 % (20 blocks: 16 %), which is enough for a cross-check.
HALVINGS = 40


class Part:
    """Consecutive rows of a projection: computes their FID, also with some of the rows left out.

    Args:
        projection: of n images.
        rows: the consecutive rows, at least 2.
        gram: (r, r) Gram matrix of the projected rows if already known; only for r rows or more.
    """

    def __init__(self, projection: Projection, rows: slice, gram: Array | None = None) -> None:
        self.projection = projection
        self.rows = projection.rows[rows]
        self.squares = projection.squares[rows]
        self.features = projection.features[rows]
        n, r = self.rows.shape
        # Gram matrix over rows or over columns, whichever is smaller.
        self.by_rows = n < r
        if self.by_rows:
            self.gram = self.rows @ self.rows.T
        else:
            self.gram = self.rows.T @ self.rows if gram is None else gram
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
        roots = roots_of_gram(self._gram_without(out, left) / (left - 1), left - 1, allowed)
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


def nested_parts(projection: Projection, sizes: Iterable[int]) -> Iterator[Part]:
    """Yields the first n rows for each n in `sizes`, in increasing order; each Gram matrix is updated from the previous one."""
    r = projection.rows.shape[1]
    gram, done = np.zeros((r, r)), 0
    for n in sorted(sizes):
        if n < r:
            yield Part(projection, slice(0, n))
            continue
        new = projection.rows[done:n]
        gram, done = gram + new.T @ new, n
        yield Part(projection, slice(0, n), gram)


@dataclass(frozen=True, eq=False)
class Resampled:
    """FIDs of one arm's images and of subsets of them, used for bias correction and standard errors.

    `full`: all n images. `without` (G,): all but block g. `halves` (2,): the first G // 2 blocks, and the rest.
    `halves_without` (G,): the half that contains block g, without that block. The last two are None for fewer than 4 blocks.
    `random_halves` (HALVINGS, 2): a random half of the images, and the other half; the same split for every arm of size n.
    """

    full: float
    without: Array
    halves: Array | None
    halves_without: Array | None
    random_halves: Array


def resample(part: Part, edges: Array) -> Resampled:
    """FIDs of a part and of its two halves, each also without each block edges[g] to edges[g + 1]."""
    halves = []
    for start, stop in half_edges(edges):
        # A separate part per half: with fewer than r rows, its Gram matrix over rows is the smaller one.
        half = Part(part.projection, slice(start, stop))
        inside = edges[(edges >= start) & (edges <= stop)] - start
        halves.append((half.fid(), fids_without_blocks(half, inside)))
    random = np.array([[part.fid(without=other), part.fid(without=one)] for one, other in random_halves(len(part))])
    return _resampled(part.fid(tolerance=EXACT), fids_without_blocks(part, edges), halves, random)


def resample_pairs(features: Array, real: Array, edges: Array) -> Resampled:
    """As `resample`, where image i was generated from the caption of real image i, and the real images are the reference.

    Each image is left out together with its real counterpart. If only the generated image were left out, the pseudo-values
    of two identical sets would be below 0.

    Args:
        features, real: (n, d); row i of both belongs to the same caption.

    Raises:
        InputError: as `frechet.project`.
    """

    def fid_of(rows: Any) -> float:
        return fid(features[rows], reference_root(statistics(real[rows])))

    def without_blocks(start: int, stop: int) -> Array:
        blocks = [(a, b) for a, b in pairwise(edges) if start <= a and b <= stop]
        return np.array([fid_of(np.r_[start:a, b:stop]) for a, b in blocks])

    halves = [(fid_of(slice(start, stop)), without_blocks(start, stop)) for start, stop in half_edges(edges)]
    random = np.array([[fid_of(one) for one in pair] for pair in random_halves(len(features))])
    return _resampled(fid_of(slice(None)), without_blocks(0, len(features)), halves, random)


def random_halves(n: int) -> Iterator[tuple[Array, Array]]:
    """Yields HALVINGS random splits of n images into two halves of rows; the same for every arm."""
    rng = np.random.default_rng(n)
    for _ in range(HALVINGS):
        order = rng.permutation(n)
        yield np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def half_edges(edges: Array) -> list[tuple[int, int]]:
    """Start and stop row of the two halves of G blocks; empty if a half would have fewer than 2 blocks."""
    groups = len(edges) - 1
    if groups < 4:
        return []
    return [(int(a), int(b)) for a, b in pairwise(edges[[0, groups // 2, groups]])]


def fids_without_blocks(part: Part, edges: Array) -> Array:
    """Leave-one-block-out FIDs (G,): the part without its rows edges[g] to edges[g + 1], for each block g."""
    return np.array([part.fid(without=slice(int(a), int(b))) for a, b in pairwise(edges)])


def _resampled(full: float, without: Array, halves: list[tuple[float, Array]], random: Array) -> Resampled:
    if not halves:
        return Resampled(full, without, None, None, random)
    values, values_without = zip(*halves, strict=True)
    return Resampled(full, without, np.array(values), np.concatenate(values_without), random)
