"""The FID of one arm at one N: the number, its jackknife estimate and interval, and what differences are made from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from emudrift.data.prompts import Prompt
from emudrift.data.reference_list import ListedImage
from emudrift.errors import InputError
from emudrift.evaluation.fid.frechet import project
from emudrift.evaluation.fid.resampling import Part, resample, resample_pairs
from emudrift.evaluation.intervals import block_edges, fid_infinity, jackknife
from emudrift.features.statistics import ReferenceRoot

FIXED_OR_PAIRED = ("the reference held fixed", "real images left out with those drawn for their captions")


def compute_fid(features: np.ndarray, reference: ReferenceRoot | np.ndarray) -> dict[str, Any]:
    """FID of features (n, d), in row order, against a reference.

    Args:
        reference: the root of fixed statistics; or (n, d) features of the real images of the same captions, which are left
            out of the jackknife together with their images.

    Returns:
        n, dims, fid; leave_one_out, halves, halves_leave_one_out and random_halves (for paired differences);
        fid_jackknife with low, high, confidence and method; fid_infinity with fid_infinity_low, fid_infinity_high and
        fid_infinity_method, all None for fewer than 8 images; and reliable: whether n >= 2 d, below which an absolute FID
        says more about n than about the images.

    Raises:
        InputError: features that are not finite or of other dimensions than the reference.
    """
    edges, (n, d) = block_edges(len(features)), features.shape
    if isinstance(reference, ReferenceRoot):
        fids = resample(Part(project(features, reference), slice(0, n)), edges)
    else:
        fids = resample_pairs(features, reference, edges)
    estimate, infinity = jackknife(fids.full, fids.without, edges), None
    if fids.halves is not None and fids.halves_without is not None:
        infinity = fid_infinity(fids.full, fids.without, fids.halves, fids.halves_without, edges)
    method = estimate.method if isinstance(reference, ReferenceRoot) else estimate.method.replace(*FIXED_OR_PAIRED)
    return {
        "n": n,
        "dims": d,
        "fid": fids.full,
        "leave_one_out": _numbers(fids.without),
        "halves": _numbers(fids.halves),
        "halves_leave_one_out": _numbers(fids.halves_without),
        "random_halves": fids.random_halves.tolist(),
        "fid_jackknife": estimate.estimate,
        "low": estimate.low,
        "high": estimate.high,
        "confidence": estimate.confidence,
        "method": method,
        "fid_infinity": infinity and infinity.estimate,
        "fid_infinity_low": infinity and infinity.low,
        "fid_infinity_high": infinity and infinity.high,
        "fid_infinity_method": infinity and infinity.method,
        "reliable": n >= 2 * d,
    }


def _numbers(values: np.ndarray | None) -> list[float] | None:
    return None if values is None else [float(each) for each in values]


def features_of_same_images(
    prompts: Sequence[Prompt], listed: Sequence[ListedImage], features: np.ndarray
) -> np.ndarray:
    """Features (N, d) of the real images whose captions were used, in the order of the prompts.

    Args:
        prompts: the first N rows.
        listed: the reference images, one per row of `features`.
        features: (len(listed), d).

    Raises:
        InputError: the list does not fit the features, or lacks an image of a prompt.
    """
    if len(listed) != len(features):
        raise InputError(
            f"the reference list has {len(listed):,} images, its features {len(features):,}: remove both, run again"
        )
    places = {image.file_name: place for place, image in enumerate(listed)}
    missing = [prompt.file_name for prompt in prompts if prompt.file_name not in places]
    if missing:
        raise InputError(
            f"reference: same: {len(missing):,} images of prompts are not among the references: {missing[:5]}"
        )
    return features[[places[prompt.file_name] for prompt in prompts]]
