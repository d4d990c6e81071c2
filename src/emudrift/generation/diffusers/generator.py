"""Diffusers pipelines as a generator: batched, with a separate random number generator per image."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emudrift.config.arm import Arm
from emudrift.config.diffusers_model import DiffusersModel
from emudrift.config.experiment import Experiment
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.diffusers.adapters import apply_adapter
from emudrift.generation.diffusers.call import call_of_class
from emudrift.generation.diffusers.check import adapter_of, network_of
from emudrift.generation.diffusers.loading import load_pipeline, one_line
from emudrift.generation.interface import Batched, Batching, GeneratedImage
from emudrift.runtime.devices import torch_device
from emudrift.runtime.library_warnings import listen

logger = logging.getLogger(__name__)

AUTO = 8
"""Default batch size; the memory that a pipeline needs per image is not known in advance."""


class DiffusersGenerator(Batched):
    """Generates images with a pipeline, for one arm.

    Incomplete batches are padded with dummy rows, so that an image's numerics do not depend on how many are left. A pipeline
    that does not accept lists of prompts or generators produces one image at a time.

    Args:
        settings: of the arm (`Arm.settings`).
        folder: of the pipeline.
        trust_remote_code: whether Python code of the checkpoint may be executed.
        adapter: that is loaded into it (`adapter_files.find_adapter`), with the strength `adapter_scale` of the settings.
        network: as of `load_pipeline`.

    Raises:
        InputError: the device is not available, the files cannot be loaded, or the pipeline does not support the settings.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        folder: Path,
        trust_remote_code: bool = False,
        adapter: Path | dict[str, Path] | None = None,
        network: tuple[str, Path] | None = None,
    ) -> None:
        self.settings, self.folder = settings, folder
        self.size: tuple[int, int] = (settings["width"], settings["height"])
        self._device = torch_device(settings["device"])
        self._heard = listen()
        self.pipeline = load_pipeline(folder, settings, trust_remote_code, network)
        if adapter is not None:
            apply_adapter(self.pipeline, adapter, settings.get("adapter_scale", 1))
        call = call_of_class(type(self.pipeline))
        self._seeded = "generator" in call.parameters
        self.together = self._seeded and "prompt" in call.parameters
        try:
            self.arguments = call.arguments(settings)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error
        try:
            self.pipeline.to(self._device)
        except torch.OutOfMemoryError as error:
            raise InputError(f"{folder}: the pipeline does not fit into device memory; {_LARGER}") from error
        self.batching = Batching(AUTO if self.together else 1, 0)

    @property
    def batch_size(self) -> int:
        return self.batching.batch_size

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        return Batching(min(batch_size or AUTO, shard_size) if self.together else 1, 0)

    def generate(self, prompts: Sequence[Prompt]) -> Iterator[GeneratedImage]:
        """Yields one image per prompt. Permanently halves the batch size when memory runs out.

        Raises:
            InputError: there is not enough memory for a single image, or the pipeline failed.
        """
        start = 0
        while start < len(prompts):
            rows = prompts[start : start + self.effective_batch_size]
            try:
                images = self._generate(rows)
            except torch.OutOfMemoryError as error:
                if self.effective_batch_size == 1:
                    raise InputError(
                        f"not enough device memory to generate one image of {self.size[0]} x {self.size[1]} with this "
                        f"pipeline; {_LARGER}"
                    ) from error
                images = []
            if not images:
                # Outside the handler: the exception's traceback would keep the tensors alive.
                torch.cuda.empty_cache()
                before, self.effective_batch_size = self.effective_batch_size, -(-self.effective_batch_size // 2)
                logger.warning(
                    "out of memory with a batch of %d; continuing with %d", before, self.effective_batch_size
                )
                continue
            yield from images
            start += len(rows)

    def device(self) -> str:
        return torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "cpu"

    def warnings(self) -> list[str]:
        return list(self._heard.about_images)

    def _generate(self, prompts: Sequence[Prompt]) -> list[GeneratedImage]:
        rows = [*prompts, *[prompts[-1]] * (self.effective_batch_size - len(prompts))]
        texts = [row.caption + self.settings["suffix"] for row in rows]
        # CPU generators, because their random numbers are the same for every device.
        random = [torch.Generator("cpu").manual_seed(row.seed) for row in rows]
        arguments = dict(self.arguments)
        if self.together:
            if "negative_prompt" in arguments:
                arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(rows)
            output = self._call(prompt=texts, generator=random, **arguments)
        else:
            if self._seeded:
                arguments["generator"] = random[0]
            torch.manual_seed(rows[0].seed)
            output = self._call(texts[0], **arguments)
        images = getattr(output, "images", None)
        images = [getattr(output, "image", None)] if images is None else images
        found = getattr(output, "nsfw_content_detected", None)
        flags = (
            [bool(found)] * len(rows) if found is None or isinstance(found, bool) else [bool(each) for each in found]
        )
        if len(images) != len(rows) or len(flags) != len(rows) or any(image is None for image in images):
            raise InputError(f"{self.folder}: its pipeline returned {len(images)} images for {len(rows)} prompts")
        return [
            GeneratedImage(
                np.asarray(image.convert("RGB")), flagged=flag, effective_batch_size=self.effective_batch_size
            )
            for image, flag, _ in zip(images, flags, prompts, strict=False)
        ]

    def _call(self, *positional: Any, **named: Any) -> Any:
        try:
            # NaN would silently become black or some other colour.
            with torch.no_grad(), np.errstate(invalid="raise"):
                return self.pipeline(*positional, **named)
        except FloatingPointError as error:
            raise InputError(
                f"{self.folder}: its pipeline produced NaN, as networks do that exceed the range of float16; dtype is "
                f"{self.settings['dtype']}: use bfloat16 or float32"
            ) from error
        except torch.OutOfMemoryError:
            raise
        except (ValueError, TypeError, RuntimeError, AttributeError, LookupError) as error:
            raise InputError(f"{self.folder}: its pipeline failed: {one_line(error)}") from error


_LARGER = "use a larger device, or check that nothing else runs on it (nvidia-smi)"


def load_model(experiment: Experiment, model: DiffusersModel, arm: Arm) -> DiffusersGenerator:
    """The generator of an arm, for the registry."""
    folder = experiment.checkpoint_folders(model)["checkpoint"]
    parts = adapter_of(experiment, model), network_of(experiment, model)
    return DiffusersGenerator(arm.settings, folder, model.trust_remote_code, *parts)
