"""Images to features, batch by batch: what all extractors do alike."""

import itertools
from collections.abc import Callable, Iterable

import numpy as np
import torch
from PIL import Image

from emudrift.errors import InputError


def features_in_batches(
    images: Iterable[Image.Image],
    batch_size: int,
    dims: int,
    preprocess: Callable[[Image.Image], torch.Tensor],
    forward: Callable[[torch.Tensor], torch.Tensor],
) -> np.ndarray:
    """Features (n, dims), float32, of n images of any sizes.

    Args:
        preprocess: an image to what the network sees, (3, h, w).
        forward: a batch of these to (b, dims).

    Raises:
        InputError: a feature is not finite; the message counts images from 0.
    """
    batches: list[np.ndarray] = []
    images, done = iter(images), 0
    while batch := [preprocess(image) for image in itertools.islice(images, batch_size)]:
        # cuDNN takes TF32 for convolutions unless told not to; benchmarking would choose by batch size and chance.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            features = forward(torch.stack(batch)).cpu().numpy()
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise InputError(
                f"image {done + int(np.flatnonzero(~finite)[0])} has features that are NaN or Inf; "
                "look at the extractor's weights"
            )
        batches.append(features)
        done += len(features)
    return np.concatenate(batches) if batches else np.empty((0, dims), np.float32)
