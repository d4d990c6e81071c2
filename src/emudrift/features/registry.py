"""Loads the feature extractors of a config (`config.extractors`), and the interface that one has to provide."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from emudrift.config.experiment import Experiment
from emudrift.config.plugins import call_plugin
from emudrift.errors import InputError


class Extractor(Protocol):
    """Images of any size to feature vectors (n, dims), float32, which do not depend on the batch size."""

    dims: int

    def features(self, images: Iterable[Image.Image], batch_size: int) -> np.ndarray: ...


class TextExtractor(Extractor, Protocol):
    """An extractor that embeds captions, too."""

    def text_features(self, captions: Sequence[str], batch_size: int) -> np.ndarray: ...


def load_extractor(experiment: Experiment, name: str, device: Literal["cuda", "cpu"] | None = None) -> Extractor:
    """The extractor of that full name, as the config describes it.

    Args:
        device: another one than the config's.

    Raises:
        InputError: the config has no such extractor, its weights are wrong, or the device is not there.
    """
    settings = experiment.extractor(name)
    experiment = experiment if device is None else experiment.on_device(device)
    if settings.plugin:
        return PluginExtractor(settings.name, settings.dims, call_plugin(settings.name, settings.load, experiment))
    # Here, since reading features needs no torch, whose import takes seconds in each of many short jobs.
    from emudrift.runtime.devices import torch_device

    torch_device(experiment.config.device)
    found: Extractor = settings.load(experiment)
    return found


class PluginExtractor:
    """A user's own extractor behind the interface of all: what it does wrong is one clear error."""

    def __init__(self, name: str, dims: int, extractor: Any) -> None:
        self.name, self.dims, self.extractor = f"extractor {name}", dims, extractor
        if not callable(getattr(extractor, "features", None)):
            raise InputError(f"plugins: {self.name}: what load returned has no method features(images, batch_size)")

    def features(self, images: Iterable[Image.Image], batch_size: int) -> np.ndarray:
        """Raises InputError where the extractor fails, or its features are not finite or of other dimensions."""
        found = np.asarray(call_plugin(self.name, self.extractor.features, images, batch_size))
        if found.ndim != 2 or found.shape[1] != self.dims or found.dtype.kind != "f":
            raise InputError(
                f"plugins: {self.name}: made features of shape {found.shape} and type {found.dtype}; expected (n, {self.dims}) "
                "of type float32, as its dims say"
            )
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            raise InputError(f"plugins: {self.name}: image {int(bad[0])} has features that are NaN or Inf")
        return found.astype(np.float32)

    def text_features(self, captions: Sequence[str], batch_size: int) -> np.ndarray:
        """Raises InputError where it cannot embed captions, or fails."""
        if not callable(getattr(self.extractor, "text_features", None)):
            raise InputError(
                f"plugins: {self.name}: has no method text_features(captions, batch_size), which a metric needs"
            )
        return np.asarray(call_plugin(self.name, self.extractor.text_features, captions, batch_size), dtype=np.float32)
