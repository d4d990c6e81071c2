"""Batched feature extraction, shared by all extractors."""

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
        preprocess: from an image to the network's input (3, h, w).
        forward: from a batch of inputs to features (b, dims).

    Raises:
        InputError: a feature is not finite; the message gives the 0-based index of the image.
    """
    batches: list[np.ndarray] = []
    images, done = iter(images), 0
    while batch := [preprocess(image) for image in itertools.islice(images, batch_size)]:
        # cuDNN uses TF32 for convolutions by default; benchmarking would pick kernels depending on batch size and timing.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            features = forward(torch.stack(batch)).cpu().numpy()
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise InputError(
                f"image {done + int(np.flatnonzero(~finite)[0])} has features that are NaN or Inf; "
                "check the extractor's weights"
            )
        batches.append(features)
        done += len(features)
    return np.concatenate(batches) if batches else np.empty((0, dims), np.float32)
