"""The FID of one set of features against a reference, with its bias-corrected estimate and interval."""

import numpy as np

from emudrift.evaluation.blocks import Blocks, prompt_blocks
from emudrift.evaluation.fid.parts import mean_part
from emudrift.evaluation.fid.record import FidEstimate
from emudrift.evaluation.fid.resampling import Resampled, fixed_distances, resample
from emudrift.evaluation.fid.two_sample import Sample, distances
from emudrift.evaluation.intervals import (
    FIXED,
    PAIRED,
    SAMPLED,
    Estimate,
    bias_order,
    enough_images,
    fid_infinity,
    of_pseudo_values,
    pseudo_values,
    t_interval,
)
from emudrift.features.statistics import Array, ReferenceRoot

DEPENDENT = "images made from the reference's own: not corrected for bias"


def compute_fid(
    features: Array,
    reference: ReferenceRoot | Sample,
    blocks: Blocks | None = None,
    random_halves: bool = False,
) -> FidEstimate:
    """FID of features (n, d), in row order.

    Args:
        reference: statistics that are held fixed; or real images in as many blocks, left out with those of the features.
            A sample in the same `blocks`, row i of both belonging together, is the reference `same`.
        blocks: of the n rows; default: each is independent of the others.
        random_halves: also the cross-check of the standard error by half-sampling.

    Raises:
        InputError: features that are not finite or of other dimensions than the reference, or too few images.
    """
    n, d = features.shape
    blocks = prompt_blocks(n) if blocks is None else blocks
    generated, method = Sample(features, blocks), FIXED
    if isinstance(reference, ReferenceRoot):
        distance = fixed_distances(features, reference, blocks)
    else:
        method = PAIRED if reference.blocks is blocks else SAMPLED
        distance = distances(generated, reference)
    fids = resample(distance, len(blocks), random_halves)
    order = bias_order(fids.full, fids.halves, fids.quarters)
    values = pseudo_values(fids.full, fids.without, blocks.edges, order)
    found = of_pseudo_values(values, blocks.edges)
    # A distance is never negative; if its whole interval is, the images are not independent of the reference.
    dependent = found.high < 0
    if dependent:
        found = t_interval(fids.full, found.standard_error, found.degrees, found.confidence, DEPENDENT)
        values = values + (fids.full - np.average(values, weights=np.diff(blocks.edges)))
    infinity = None if fids.halves is None else fid_infinity(fids.full, fids.halves, found)
    return FidEstimate(
        n=n,
        dims=d,
        fid=fids.full,
        block_sizes=[int(size) for size in np.diff(blocks.edges)],
        leave_one_out=fids.without.tolist(),
        halves=_numbers(fids.halves),
        quarters=_numbers(fids.quarters),
        random_halves=None if fids.random_halves is None else fids.random_halves.tolist(),
        bias_order=order,
        pseudo_values=values.tolist(),
        fid_jackknife=max(found.estimate, 0.0),
        low=max(found.low, 0.0),
        high=max(found.high, 0.0),
        confidence=found.confidence,
        method=f"{found.method}; {method}",
        means=mean_part(generated, reference),
        fid_infinity=infinity and infinity.estimate,
        fid_infinity_low=infinity and infinity.low,
        fid_infinity_high=infinity and infinity.high,
        fid_infinity_method=infinity and infinity.method,
        depends_on_reference=dependent,
        reference_bias=_reference_bias(fids, found, n, reference),
        reliable=enough_images(n, d),
    )


def _reference_bias(fids: Resampled, found: Estimate, n: int, reference: ReferenceRoot | Sample) -> float | None:
    """What a fixed reference of m images adds: about as much as m generated images would, n / m of the bias that was removed."""
    if isinstance(reference, Sample):
        return 0.0
    return None if reference.n is None else max(fids.full - found.estimate, 0.0) * n / reference.n


def _numbers(values: Array | None) -> list[float] | None:
    return None if values is None else [float(each) for each in values]
