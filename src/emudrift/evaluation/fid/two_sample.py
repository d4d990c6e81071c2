"""FIDs of subsets of generated images against subsets of real ones, by blocks that are left out of both sides together.

The reference is a sample, too. Block g of the generated images and block g of the real ones are one unit of the jackknife,
left out together: both biases, of order 1 / n and 1 / m, are then removed, and both variances counted, by as many
distances as there are blocks. Leaving out either side alone, with the variances added, gave the same intervals for twice
the work (`bench/coverage.py`). Where a real image belongs to a prompt it is in the prompt's block, so that what both share
is left out together, also where the generated images are made from the real ones.

With factors A (k, d) and R (l, d) of the covariances, AᵀA = Σ_g and RᵀR = Σ_r, tr (Σ_g Σ_r)^½ is the sum of the singular
values of A Rᵀ. A factor is the centred rows where they are few, else the triangle of a Cholesky decomposition.
"""

from collections.abc import Callable

import numpy as np

from emudrift.errors import InputError
from emudrift.evaluation.blocks import Blocks
from emudrift.evaluation.fid.frechet import TOLERANCE as EXACT
from emudrift.evaluation.fid.frechet import nuclear_norm
from emudrift.features.statistics import EPSILON, Array, Statistics, feature_mean, reference_root

SUBSET_TOLERANCE = 1e-8
"""Relative to tr Σ_g + tr Σ_r; far below the width of any interval, and an SVD per block would take minutes."""


class Sample:
    """Features of images in blocks.

    Args:
        features: (n, d), in their own order, memory-mapped or not.
        blocks: of the n rows.
    """

    def __init__(self, features: Array, blocks: Blocks) -> None:
        self.features, self.blocks = features, blocks
        self.centre = feature_mean(features)
        self.sizes = np.diff(blocks.edges)
        self.sums = np.array([self._rows(g).sum(axis=0) for g in range(len(blocks))])
        self._scatters: Array | None = None

    def _rows(self, block: int) -> Array:
        """The centred rows of a block, float64."""
        start, stop = self.blocks.edges[block : block + 2]
        return np.asarray(self.features[self.blocks.order[start:stop]], dtype=np.float64) - self.centre

    @property
    def scatters(self) -> Array:
        """(G, d, d) sums of squares and products of each block."""
        if self._scatters is None:
            d = len(self.centre)
            self._scatters = np.empty((len(self.blocks), d, d))
            for block in range(len(self.blocks)):
                rows = self._rows(block)
                np.matmul(rows.T, rows, out=self._scatters[block])
            self.total = self._scatters.sum(axis=0)
        return self._scatters

    def moments(self, kept: Array) -> tuple[Array, Array, float, int]:
        """Mean (d,), factor (k, d), trace and rank of the covariance of the blocks `kept` (G,) bool."""
        n, d = int(self.sizes[kept].sum()), len(self.centre)
        off = self.sums[kept].sum(axis=0) / n
        if n <= d:
            rows = np.concatenate([self._rows(int(block)) for block in np.flatnonzero(kept)]) - off
            rows /= np.sqrt(n - 1)
            return self.centre + off, rows, float(np.sum(rows * rows)), n - 1
        out, scatters = np.flatnonzero(~kept), self.scatters
        if len(out) < len(kept) / 2:
            scatter = self.total.copy()
            for block in out:
                scatter -= scatters[block]
        else:
            scatter = scatters[kept].sum(axis=0)
        sigma = (scatter - n * np.outer(off, off)) / (n - 1)
        return self.centre + off, factor(sigma), float(np.trace(sigma)), d


def factor(sigma: Array) -> Array:
    """A (k, d) with AᵀA = sigma: by Cholesky, or by eigenvalues where sigma is singular up to rounding."""
    try:
        upper = np.linalg.cholesky(sigma).T
    except np.linalg.LinAlgError:
        upper = None
    if upper is None or np.min(upper.diagonal()) ** 2 <= len(sigma) * EPSILON * sigma.diagonal().max():
        upper = reference_root(Statistics(np.zeros(len(sigma)), sigma)).root.T
    return upper


def distances(generated: Sample, reference: Sample) -> Callable[[Array], float]:
    """The FID of any subset of the blocks, as a function of those kept (G,) bool.

    Raises:
        InputError: the two have other dimensions.
    """
    if len(generated.centre) != len(reference.centre):
        raise InputError(
            f"features have {len(generated.centre)} dimensions and those of the reference {len(reference.centre)}; "
            "compute both with the same extractor and dims"
        )

    def fid(kept: Array) -> float:
        mean, rows, trace, rank = generated.moments(kept)
        real_mean, real_rows, real_trace, real_rank = reference.moments(kept)
        tolerance = EXACT if kept.all() else SUBSET_TOLERANCE
        roots = nuclear_norm(rows @ real_rows.T, min(rank, real_rank), tolerance * (trace + real_trace))
        off = mean - real_mean
        return float(off @ off) + trace + real_trace - 2 * roots

    return fid
