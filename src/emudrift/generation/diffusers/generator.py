"""Pipelines of diffusers as a generator: batched, each image from a random number generator of its own."""

import inspect
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

# Code of a checkpoint is copied here before it runs; in the user's cache, jobs with other revisions of it would meet.
_modules = tempfile.TemporaryDirectory(prefix="emudrift-modules-")
os.environ["HF_MODULES_CACHE"] = _modules.name

import emudrift.runtime.torchvision_fix  # noqa: F401, E402  (before transformers)

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors import SafetensorError  # noqa: E402

from emudrift.config.arm import Arm  # noqa: E402
from emudrift.config.experiment import Experiment  # noqa: E402
from emudrift.config.models import DiffusersModel  # noqa: E402
from emudrift.data.pipeline_files import variant_of  # noqa: E402
from emudrift.data.prompts import Prompt  # noqa: E402
from emudrift.errors import InputError  # noqa: E402
from emudrift.generation.diffusers.check import components_of, load_index  # noqa: E402
from emudrift.generation.interface import Batching, GeneratedImage  # noqa: E402
from emudrift.runtime.devices import torch_device  # noqa: E402

logger = logging.getLogger(__name__)
diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()

AUTO = 8
"""Images together where the config leaves it open; pipelines do not say how much memory an image takes."""

_FAULTS = (OSError, ValueError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
"""What loading a pipeline raises for files that do not fit."""


class DiffusersGenerator:
    """Draws with a pipeline, for one arm.

    Batches are always filled up with dummy rows, so that the numerics of an image never depend on how many are left. A
    pipeline that takes no list of prompts, or no generators, draws one image at a time.

    Args:
        settings: those of the arm (`Arm.settings`).
        folder: of the pipeline.
        trust_remote_code: whether Python code of the checkpoint may run.

    Raises:
        InputError: no such device, files that cannot be loaded, or a pipeline that does not take what the settings ask for.
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
            raise InputError(f"{folder}: the pipeline does not fit into the device's memory; {_LARGER}") from error
        self.batching = Batching(AUTO if self.together else 1, 0)

    @property
    def batching(self) -> Batching:
        return self._batching

    @batching.setter
    def batching(self, batching: Batching) -> None:
        self._batching, self.effective_batch_size = batching, batching.batch_size

    @property
    def batch_size(self) -> int:
        return self.batching.batch_size

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        return Batching(min(batch_size or AUTO, shard_size) if self.together else 1, 0)

    def generate(self, prompts: Sequence[Prompt]) -> Iterator[GeneratedImage]:
        """Yields one drawing per prompt. Where memory runs out, fewer are drawn together from then on.

        Raises:
            InputError: there is not enough memory for a single image, or the pipeline failed.
        """
        start = 0
        while start < len(prompts):
            rows = prompts[start : start + self.effective_batch_size]
            try:
                drawings = self._draw(rows)
            except torch.OutOfMemoryError as error:
                if self.effective_batch_size == 1:
                    raise InputError(
                        f"the device's memory is too small to draw one image of {self.size[0]} x {self.size[1]} with this "
                        f"pipeline; {_LARGER}"
                    ) from error
                drawings = []
            if not drawings:
                # Outside the handler: the exception's traceback would keep the tensors alive.
                torch.cuda.empty_cache()
                before, self.effective_batch_size = self.effective_batch_size, -(-self.effective_batch_size // 2)
                logger.warning(
                    "out of memory with %d images together; going on with %d", before, self.effective_batch_size
                )
                continue
            yield from drawings
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
            hint = '; say negative_prompt: "" in the model' if unknown == ["negative_prompt"] else ""
            raise InputError(
                f"{self.folder}: its pipeline {type(self.pipeline).__name__} takes no {', '.join(unknown)}{hint}"
            )
        return arguments

    def _draw(self, prompts: Sequence[Prompt]) -> list[GeneratedImage]:
        rows = [*prompts, *[prompts[-1]] * (self.effective_batch_size - len(prompts))]
        texts = [row.caption + self.settings["suffix"] for row in rows]
        # On the CPU, whose random numbers are the same beside every device.
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
            raise InputError(f"{self.folder}: its pipeline gave {len(images)} images for {len(rows)} prompts")
        return [
            GeneratedImage(
                np.asarray(image.convert("RGB")), flagged=flag, effective_batch_size=self.effective_batch_size
            )
            for image, flag, _ in zip(images, flags, prompts, strict=False)
        ]

    def _call(self, *positional: Any, **named: Any) -> Any:
        try:
            # What is no number would become black, or anything else, without a word.
            with torch.no_grad(), np.errstate(invalid="raise"):
                return self.pipeline(*positional, **named)
        except FloatingPointError as error:
            raise InputError(
                f"{self.folder}: its pipeline made values that are no numbers, as networks do whose range float16 does not "
                f"cover; dtype is {self.settings['dtype']}: take bfloat16 or float32"
            ) from error
        except torch.OutOfMemoryError:
            raise
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"{self.folder}: its pipeline failed: {_line(error)}") from error


_LARGER = "take a larger device, or check that nothing else runs on it (nvidia-smi)"


def load_pipeline(folder: Path, settings: dict[str, Any], trust_remote_code: bool) -> Any:
    """A pipeline from its folder, every weight from its safetensors, nothing drawn at random.

    Args:
        settings: `dtype`, `variant` and `custom_pipeline` decide how it is loaded.

    Raises:
        InputError: the files do not fit, lack weights, or need code that is not trusted.
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
    """The class of a component that has weights and comes with diffusers or transformers, else None."""
    libraries = {"diffusers": diffusers, "transformers": transformers}
    found = getattr(libraries.get(library) or getattr(diffusers.pipelines, library, None), kind, None)
    known = (diffusers.ModelMixin, transformers.PreTrainedModel)
    return found if isinstance(found, type) and issubclass(found, known) else None


def _load_network(kind: Any, folder: Path, dtype: torch.dtype, variant: str | None, **more: Any) -> Any:
    """Raises InputError where the files lack weights: both libraries would draw them at random, and only warn."""
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
            f"{folder}: its files lack {len(missing)} of the network's weights, such as {missing[0]}; fetch them again"
        )
    return model


def _load_theirs(folder: Path, library: str, dtype: torch.dtype, variant: str | None) -> Any:
    """A component whose class lies in the checkpoint itself, as its config.json says (auto_map)."""
    auto_map = transformers.PretrainedConfig.get_config_dict(str(folder), local_files_only=True)[0].get("auto_map", {})
    kinds = [kind for kind in auto_map if kind.startswith("AutoModel") and hasattr(transformers, kind)]
    if not kinds:
        raise InputError(f"{folder}/config.json: auto_map names no AutoModel, so its class cannot be found")
    model = _load_network(getattr(transformers, kinds[0]), folder, dtype, variant, trust_remote_code=True)
    # diffusers looks a class up, and what it is a class of, in the module that the index names, if that is imported.
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
