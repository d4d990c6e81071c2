"""The registry of feature extractors, and the interface that one has to provide."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from emudrift.config.experiment import Experiment
from emudrift.config.extractors import EXTRACTORS, Inception
from emudrift.errors import InputError
from emudrift.features import inception
from emudrift.features.preprocessing import Preprocessing


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
    checkpoint: str | Path | None = None,
    device: str = "cpu",
) -> Extractor:
    """The extractor of that name, ready on its device.

    Args:
        preprocessing: of Inception; default: the COCO protocol (shorter side 256, central square, bicubic to 299).
        weights, sha256: local file of published weights and what it must hash to (`inception`).
        seed: of random weights (`inception-random`).
        checkpoint: local folder (`dinov2`, `clip`).

    Raises:
        InputError: no such extractor or dims, or weights that are missing or not the expected ones.
    """
    if name in ("dinov2", "clip"):
        if checkpoint is None:
            raise InputError(f"extractors: checkpoint: {name} needs the folder of its checkpoint")
        return load_transformer(name, Path(checkpoint), dims, device)
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


def load_transformer(name: str, checkpoint: Path, dims: int, device: str) -> Extractor:
    """`dinov2` or `clip` from a checkpoint's folder. Raises InputError where that is not whole, or another network's."""
    # Here: transformers takes seconds to import, and Inception needs none of it.
    from emudrift.features.clip import ClipExtractor
    from emudrift.features.dinov2 import Dinov2Extractor

    return (Dinov2Extractor if name == "dinov2" else ClipExtractor)(checkpoint, dims, device)


def load_configured_extractor(experiment: Experiment, name: str) -> "Extractor":
    """The extractor of that full name, as the config describes it.

    Raises:
        InputError: the config has no such extractor, its weights are wrong, or the device is not there.
    """
    # Here, since reading features needs no torch, whose import takes seconds in each of many short jobs.
    from emudrift.features.preprocessing import Preprocessing
    from emudrift.features.registry import load_extractor, load_transformer
    from emudrift.runtime.devices import torch_device

    settings, device = experiment.extractor(name), experiment.config.device
    torch_device(device)
    if not isinstance(settings, Inception):
        return load_transformer(settings.name, experiment.checkpoint_folder(settings.checkpoint), settings.dims, device)
    return load_extractor(
        settings.name,
        dims=settings.dims,
        preprocessing=Preprocessing(**settings.preprocessing.model_dump()),
        weights=experiment.weights(settings),
        sha256=settings.sha256,
        seed=settings.seed,
        device=device,
    )
