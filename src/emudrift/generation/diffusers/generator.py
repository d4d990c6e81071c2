"""Diffusers pipelines as a generator: batched, with a separate random number generator per image."""

import inspect
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

# A checkpoint's code is copied here before it runs; the user's cache would be shared with jobs that use other revisions.
_modules = tempfile.TemporaryDirectory(prefix="emudrift-modules-")
os.environ["HF_MODULES_CACHE"] = _modules.name

import emudrift.runtime.torchvision_fix  # noqa: F401, E402  (before transformers)

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors import SafetensorError  # noqa: E402

from emudrift.config.arm import Arm  # noqa: E402
from emudrift.config.diffusers_model import DiffusersModel  # noqa: E402
from emudrift.config.experiment import Experiment  # noqa: E402
from emudrift.data.pipeline_files import variant_of  # noqa: E402
from emudrift.data.prompts import Prompt  # noqa: E402
from emudrift.errors import InputError  # noqa: E402
from emudrift.generation.diffusers.check import components_of, load_index  # noqa: E402
from emudrift.generation.interface import Batched, Batching, GeneratedImage  # noqa: E402
from emudrift.runtime.devices import torch_device  # noqa: E402

logger = logging.getLogger(__name__)
diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()

AUTO = 8
"""Default batch size; the memory that a pipeline needs per image is not known in advance."""

_FAULTS = (OSError, ValueError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
"""Exceptions that loading a pipeline raises for unsuitable files."""


class DiffusersGenerator(Batched):
    """Generates images with a pipeline, for one arm.

    Incomplete batches are padded with dummy rows, so that an image's numerics do not depend on how many are left. A pipeline
    that does not accept lists of prompts or generators produces one image at a time.

    Args:
        settings: of the arm (`Arm.settings`).
        folder: of the pipeline.
        trust_remote_code: whether Python code of the checkpoint may be executed.

    Raises:
        InputError: the device is not available, the files cannot be loaded, or the pipeline does not support the settings.
    """

    def __init__(self, settings: dict[str, Any], folder: Path, trust_remote_code: bool = False) -> None:
        self.settings, self.folder = settings, folder
        self.size: tuple[int, int] = (settings["width"], settings["height"])
        self._device = torch_device(settings["device"])
        self.pipeline = load_pipeline(folder, settings, trust_remote_code)
        takes = set(inspect.signature(self.pipeline.__call__).parameters)
        self._seeded = "generator" in takes
        self.together = self._seeded and "prompt" in takes
        self.arguments = self._arguments(takes)
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

    def _arguments(self, takes: set[str]) -> dict[str, Any]:
        arguments = {
            "num_inference_steps": self.settings["steps"],
            "guidance_scale": self.settings["guidance_scale"],
            "width": self.settings["width"],
            "height": self.settings["height"],
        }
        if self.settings.get("negative_prompt"):
            arguments["negative_prompt"] = self.settings["negative_prompt"]
        unknown = sorted(set(arguments) - takes)
        if unknown:
            hint = '; set negative_prompt: "" for this model' if unknown == ["negative_prompt"] else ""
            raise InputError(
                f"{self.folder}: its pipeline {type(self.pipeline).__name__} does not accept {', '.join(unknown)}{hint}"
            )
        return arguments

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
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"{self.folder}: its pipeline failed: {_line(error)}") from error


_LARGER = "use a larger device, or check that nothing else runs on it (nvidia-smi)"


def load_pipeline(folder: Path, settings: dict[str, Any], trust_remote_code: bool) -> Any:
    """Loads a pipeline from its folder, with every weight from safetensors and none initialised at random.

    Args:
        settings: `dtype`, `variant` and `custom_pipeline` determine how it is loaded.

    Raises:
        InputError: the files are unsuitable, lack weights, or require code that is not trusted.
    """
    dtype, variant = getattr(torch, settings["dtype"]), settings["variant"]
    networks = {}
    try:
        for name, (library, kind) in components_of(load_index(folder)).items():
            found = _network_class(library, kind)
            if library.startswith("transformers_modules.") and trust_remote_code:
                networks[name] = _load_theirs(folder / name, library, dtype, variant)
            elif found is not None:
                networks[name] = _load_network(found, folder / name, dtype, variant)
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            str(folder),
            dtype=dtype,
            variant=variant,
            custom_pipeline=settings["custom_pipeline"],
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            local_files_only=True,
            **networks,
        )
    except _FAULTS as error:
        raise InputError(f"{folder}: the pipeline cannot be loaded: {_line(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _network_class(library: str, kind: str) -> Any:
    """The class of a component that has weights and is part of diffusers or transformers, else None."""
    libraries = {"diffusers": diffusers, "transformers": transformers}
    found = getattr(libraries.get(library) or getattr(diffusers.pipelines, library, None), kind, None)
    known = (diffusers.ModelMixin, transformers.PreTrainedModel)
    return found if isinstance(found, type) and issubclass(found, known) else None


def _load_network(kind: Any, folder: Path, dtype: torch.dtype, variant: str | None, **more: Any) -> Any:
    """Loads a network. Raises InputError if weights are missing: both libraries would only warn and initialise them at random."""
    has_variant = any(variant_of(path.name) == variant for path in folder.glob("*.safetensors"))
    model, found = kind.from_pretrained(
        str(folder),
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        variant=variant if has_variant else None,
        dtype=dtype,
        **more,
    )
    if missing := sorted(map(str, found["missing_keys"])):
        raise InputError(
            f"{folder}: its files lack {len(missing)} of the network's weights, such as {missing[0]}; download them again"
        )
    return model


def _load_theirs(folder: Path, library: str, dtype: torch.dtype, variant: str | None) -> Any:
    """Loads a component whose class is defined in the checkpoint itself (auto_map in its config.json)."""
    auto_map = transformers.PretrainedConfig.get_config_dict(str(folder), local_files_only=True)[0].get("auto_map", {})
    kinds = [kind for kind in auto_map if kind.startswith("AutoModel") and hasattr(transformers, kind)]
    if not kinds:
        raise InputError(f"{folder}/config.json: auto_map names no AutoModel, so its class cannot be found")
    model = _load_network(getattr(transformers, kinds[0]), folder, dtype, variant, trust_remote_code=True)
    # diffusers looks up the class, and PreTrainedModel, in the module named in the index, if that module is imported.
    kind = type(model)
    if getattr(sys.modules.get(library), kind.__name__, None) is not kind:
        sys.modules[library] = ModuleType(library)
    vars(sys.modules[library]).update({kind.__name__: kind, "PreTrainedModel": transformers.PreTrainedModel})
    return model


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def load_model(experiment: Experiment, model: DiffusersModel, arm: Arm) -> DiffusersGenerator:
    """The generator of an arm, for the registry."""
    folder = experiment.checkpoint_folders(model)["checkpoint"]
    return DiffusersGenerator(arm.settings, folder, model.trust_remote_code)
