"""Who sees: extractors turn images into feature vectors. The registry, and the interface that one has to meet."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from emudrift.errors import InputError
from emudrift.features import inception
from emudrift.features.preprocessing import Preprocessing

EXTRACTORS = ("inception", "inception-random")


class Extractor(Protocol):
    """Images of any size to feature vectors (n, dims), float32, which do not depend on the batch size."""

    dims: int
    random_weights: bool

    def features(self, images: Iterable[Image.Image], batch_size: int) -> np.ndarray: ...


def load_extractor(
    name: str,
    *,
    dims: int = 2048,
    preprocessing: Preprocessing | None = None,
    weights: str | Path | None = None,
    sha256: str = inception.PUBLISHED_SHA256,
    seed: int = 0,
    device: str = "cpu",
) -> Extractor:
    """The extractor of that name, ready on its device.

    Args:
        preprocessing: default: the COCO protocol (shorter side 256, central square, bicubic to 299).
        weights, sha256: local file of published weights and what it must hash to (`inception`).
        seed: of random weights (`inception-random`).

    Raises:
        InputError: no such extractor or dims, or weights that are missing or not the expected ones.
    """
    preprocessing = preprocessing or Preprocessing()
    if name == "inception-random":
        return inception.load_random(seed, dims, preprocessing, device)
    if name != "inception":
        raise InputError(f"extractors: name: {name!r} is none of {', '.join(EXTRACTORS)}")
    if weights is None:
        raise InputError(
            "extractors: weights: inception needs the file of its published weights; or use inception-random"
        )
    return inception.load_published(weights, dims, preprocessing, device, sha256)
