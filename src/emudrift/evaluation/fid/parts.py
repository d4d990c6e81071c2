"""The two parts of a Fréchet distance: that between the means, and the rest, which lies in the covariances."""

import numpy as np

from emudrift.evaluation.fid.two_sample import Sample
from emudrift.evaluation.intervals import jackknife
from emudrift.features.statistics import ReferenceRoot


def mean_part(generated: Sample, reference: Sample | ReferenceRoot) -> float:
    """‖μ_g − μ_r‖² without the bias of a finite n, which the block jackknife removes exactly.

    Args:
        reference: fixed statistics; or real images in as many blocks, left out with those of the generated ones.
    """
    off = _means(generated) - (_means(reference) if isinstance(reference, Sample) else reference.mu)
    full, *without = np.sum(off**2, axis=1)
    return jackknife(float(full), np.array(without), generated.blocks.edges).estimate


def _means(sample: Sample) -> np.ndarray:
    """Means (G + 1, d) of all images, and without each block."""
    total, n = sample.sums.sum(axis=0), sample.sizes.sum()
    without = (total - sample.sums) / (n - sample.sizes)[:, None]
    return np.asarray(sample.centre + np.concatenate([total[None] / n, without]))
