"""The two parts of a Fréchet distance: that between the means, and the rest, which lies in the covariances."""

from itertools import pairwise

import numpy as np

from emudrift.evaluation.intervals import jackknife
from emudrift.features.statistics import Array, ReferenceRoot


def mean_part(features: Array, reference: ReferenceRoot | Array, edges: Array) -> float:
    """‖μ_g − μ_r‖² of features (n, d), without the bias of finite n, which the block jackknife removes exactly.

    The bias that a finite reference adds is the same for every arm, and cancels in differences between arms.

    Args:
        reference: fixed statistics; or features (n, d) of the real images of the same captions, left out with their images.
        edges: (G + 1,) of the blocks, as for `jackknife`.
    """
    real = reference.mu if isinstance(reference, ReferenceRoot) else np.asarray(reference, dtype=np.float64)
    off = np.asarray(features, dtype=np.float64) - real
    blocks = np.array([off[a:b].sum(axis=0) for a, b in pairwise(edges)])
    total, sizes = blocks.sum(axis=0), np.diff(edges)
    n = int(edges[-1] - edges[0])
    without = np.sum(((total - blocks) / (n - sizes)[:, None]) ** 2, axis=1)
    return jackknife(float(np.sum((total / n) ** 2)), without, edges).estimate
