"""Adapts a user-defined generator to the generator interface, with clear errors for invalid results."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emudrift.config.plugins import call_plugin
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.interface import GeneratedImage


class PluginGenerator:
    """Wraps a generator whose `generate` yields one image (height, width, 3) uint8 per prompt, as an array.

    Args:
        name: of the generator, for error messages.
        generator: has `generate(prompts)`; optionally `size` (width, height), `batch_size` and `device()`.

    Raises:
        InputError: it has no method `generate`.
    """

    def __init__(self, name: str, generator: Any) -> None:
        self.name, self.generator = f"generator {name}", generator
        if not callable(getattr(generator, "generate", None)):
            raise InputError(f"plugins: {self.name}: what load returned has no method generate(prompts)")
        self.size: tuple[int, int] | None = getattr(generator, "size", None)
        self.batch_size: int = getattr(generator, "batch_size", 1)

    def generate(self, prompts: Sequence[Prompt]) -> Iterator[GeneratedImage]:
        """Yields one image per prompt. Raises InputError if the generator fails or returns anything else."""
        images = call_plugin(self.name, lambda: list(self.generator.generate(prompts)))
        if len(images) != len(prompts):
            raise InputError(f"plugins: {self.name}: returned {len(images)} images for {len(prompts)} prompts")
        for prompt, image in zip(prompts, images, strict=True):
            array = np.asarray(image)
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
                raise InputError(
                    f"plugins: {self.name}: image of prompt {prompt.prompt_id} has shape {array.shape} and type {array.dtype}; "
                    "expected (height, width, 3) of type uint8"
                )
            if self.size is not None and array.shape[1::-1] != tuple(self.size):
                raise InputError(
                    f"plugins: {self.name}: image of prompt {prompt.prompt_id} has {array.shape[1]} x {array.shape[0]} pixels, "
                    f"but its size is {self.size[0]} x {self.size[1]}; return images of that size, or change size"
                )
            yield GeneratedImage(array)

    def device(self) -> str:
        return str(self.generator.device()) if hasattr(self.generator, "device") else "not specified by the plugin"
