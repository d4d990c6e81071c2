"""The FID of one arm at one N: the number, its jackknife estimate and interval, and what differences are made from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from emudrift.errors import InputError
from emudrift.frechet import Statistics, fid, reference_root, statistics
from emudrift.image_list import ListedImage
from emudrift.prompts import Prompt
from emudrift.uncertainty import block_edges, jackknife, leave_one_out_fids


def compute_fid(features: np.ndarray, reference: Statistics) -> dict[str, Any]:
    """FID of features (n, d), in row order, against reference statistics.

    Returns:
        n, dims, fid, leave_one_out (for paired differences), fid_jackknife with low, high, confidence and method, and
        reliable: whether n >= 2 d, below which an absolute FID says more about n than about the images.

    Raises:
        InputError: features that are not finite or of other dimensions than the reference.
    """
    root, edges = reference_root(reference), block_edges(len(features))
    value = fid(features, root)
    leave_one_out = leave_one_out_fids(features, root, edges)
    estimate = jackknife(value, leave_one_out, edges)
    n, d = features.shape
    return {
        "n": n,
        "dims": d,
        "fid": value,
        "leave_one_out": [float(each) for each in leave_one_out],
        "fid_jackknife": estimate.estimate,
        "low": estimate.low,
        "high": estimate.high,
        "confidence": estimate.confidence,
        "method": estimate.method,
        "reliable": n >= 2 * d,
    }


def same_images_statistics(
    prompts: Sequence[Prompt], listed: Sequence[ListedImage], features: np.ndarray
) -> Statistics:
    """Statistics of the real images whose captions were used.

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
    return statistics(features[[places[prompt.file_name] for prompt in prompts]])
