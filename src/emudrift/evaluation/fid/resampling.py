"""FIDs of parts of one arm's images: the first N, all but a block, a half; projected once, whatever their number.

A part needs its sum, its sum of squares and one matrix of products of its projected rows: N x N below the reference's
rank r, r x r above. Leaving rows out subtracts what they add to these, so a further value costs little more than the
eigenvalues of one matrix. Deviations are taken from the mean of all images, so that nothing large cancels.
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
# As `frechet.TOLERANCE`, but looser: an SVD for each block would take minutes, and 1e-8 of a trace of some hundreds,
# times the 19 of the pseudo-values, stays far inside any interval.
TOLERANCE = 1e-8
# They make an error whose own is some 11 % of it (that of 20 blocks: 16 %): enough for a check.
HALVINGS = 40


class Part:
    """A run of rows of a projection, whose FID, and FIDs without some of its rows, are wanted.

    Args:
        projection: of n images.
        rows: which of them, at least 2, consecutive.
        gram: (r, r) products of its projected rows where they are known already; only for r rows or more.
    """

    def __init__(self, projection: Projection, rows: slice, gram: Array | None = None) -> None:
        self.projection = projection
        self.rows = projection.rows[rows]
        self.squares = projection.squares[rows]
        self.features = projection.features[rows]
        n, r = self.rows.shape
        # Products of rows with rows, or of columns with columns: whichever matrix is smaller.
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
        """FID of the part, or of what is left of it.

        Args:
            without: rows of the part to leave out, counted from its first; at least 2 must be left.
            tolerance: in parts of tr Σ_g + tr Σ_r, default TOLERANCE; where eigenvalues may err by more, an SVD
                replaces them.
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
        """Sum (d,) of the rows' features, less as many means."""
        features = self.features[rows]
        return features.sum(axis=0, dtype=np.float64) - len(features) * self.projection.mean

    def _gram_without(self, out: Array, left: int) -> Array:
        """The centred Gram matrix of the `left` rows."""
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
    """The first n rows for each n of `sizes`, from the smallest on; each matrix of products grows out of the one before."""
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
    """FIDs of one arm's images and of parts of them, which its bias and its errors are computed from.

    `full`: of all n images. `without` (G,): without block g. `halves` (2,): of the first G // 2 blocks, and of the rest.
    `halves_without` (G,): of the half that block g is in, without it. These two are None for fewer than 4 blocks.
    `random_halves` (HALVINGS, 2): of a random half of the images, and of the others; the same images in every arm of n.
    """

    full: float
    without: Array
    halves: Array | None
    halves_without: Array | None
    random_halves: Array


def resample(part: Part, edges: Array) -> Resampled:
    """The FIDs of a part, of its halves, and of both without each block edges[g] to edges[g + 1]."""
    halves = []
    for start, stop in half_edges(edges):
        # The rows of a half are a part of their own: their matrix is the smaller where they are fewer than r.
        half = Part(part.projection, slice(start, stop))
        inside = edges[(edges >= start) & (edges <= stop)] - start
        halves.append((half.fid(), fids_without_blocks(half, inside)))
    random = np.array([[part.fid(without=other), part.fid(without=one)] for one, other in random_halves(len(part))])
    return _resampled(part.fid(tolerance=EXACT), fids_without_blocks(part, edges), halves, random)


def resample_pairs(features: Array, real: Array, edges: Array) -> Resampled:
    """As `resample`, where image i was drawn for the caption of real image i, and the real ones are the reference.

    An image is left out together with its partner. Left out alone, it would leave its partner behind: the pseudo-values of
    two identical sets would lie below 0.

    Args:
        features, real: (n, d), row i of both belonging together.

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
    """HALVINGS times the rows of a random half of n images, and the other rows; the same for every arm."""
    rng = np.random.default_rng(n)
    for _ in range(HALVINGS):
        order = rng.permutation(n)
        yield np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def half_edges(edges: Array) -> list[tuple[int, int]]:
    """First and last row of the two halves of G blocks; none where a half would have fewer than 2 blocks."""
    groups = len(edges) - 1
    if groups < 4:
        return []
    return [(int(a), int(b)) for a, b in pairwise(edges[[0, groups // 2, groups]])]


def fids_without_blocks(part: Part, edges: Array) -> Array:
    """The FIDs (G,) of a part without its rows edges[g] to edges[g + 1], for each block g."""
    return np.array([part.fid(without=slice(int(a), int(b))) for a, b in pairwise(edges)])


def _resampled(full: float, without: Array, halves: list[tuple[float, Array]], random: Array) -> Resampled:
    if not halves:
        return Resampled(full, without, None, None, random)
    values, values_without = zip(*halves, strict=True)
    return Resampled(full, without, np.array(values), np.concatenate(values_without), random)
