"""Loads pipelines of diffusers: every weight from safetensors, none initialised at random, no code that is not trusted."""

import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

# A checkpoint's code is copied here before it runs; the user's cache would be shared with jobs that use other revisions.
_modules = tempfile.TemporaryDirectory(prefix="emudrift-modules-")
os.environ["HF_MODULES_CACHE"] = _modules.name

import emudrift.runtime.torchvision_fix  # noqa: F401, E402  (before transformers)

import diffusers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors import SafetensorError  # noqa: E402

from emudrift.data.pipeline_files import variant_of  # noqa: E402
from emudrift.errors import InputError  # noqa: E402
from emudrift.generation.diffusers.check import components_of, load_index  # noqa: E402
from emudrift.generation.diffusers.scheduler import made_scheduler  # noqa: E402

diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()

LOAD_FAULTS = (OSError, ValueError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
"""Exceptions that loading a pipeline raises for unsuitable files."""


def load_pipeline(
    folder: Path, settings: dict[str, Any], trust_remote_code: bool, network: tuple[str, Path] | None = None
) -> Any:
    """Loads a pipeline from its folder, with every weight from safetensors and none initialised at random.

    Args:
        settings: `dtype`, `variant`, `custom_pipeline`, `safety_checker` and `scheduler` determine how it is loaded.
        network: a component, and the folder of the network that stands in its place.

    Raises:
        InputError: the files are unsuitable, lack weights, or require code that is not trusted.
    """
    dtype, variant = getattr(torch, settings["dtype"]), settings["variant"]
    networks: dict[str, Any] = {}
    if settings.get("safety_checker") is False:
        networks = {"safety_checker": None, "requires_safety_checker": False}
    try:
        for name, (library, kind) in components_of(load_index(folder)).items():
            if name in networks:
                continue
            found = network_class(library, kind)
            if library.startswith("transformers_modules.") and trust_remote_code:
                networks[name] = _load_theirs(folder / name, library, dtype, variant)
            elif found is not None:
                place = network[1] if network is not None and network[0] == name else folder / name
                networks[name] = _load_network(found, place, dtype, variant)
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
    except LOAD_FAULTS as error:
        raise InputError(f"{folder}: the pipeline cannot be loaded: {one_line(error)}") from error
    if "scheduler" in settings:
        pipeline.scheduler = made_scheduler(type(pipeline.scheduler), pipeline.scheduler.config, settings["scheduler"])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def empty_pipeline(folder: Path) -> Any:
    """A pipeline whose networks take no memory: each weight is one zero, repeated. Raises InputError for unsuitable files."""
    try:
        networks = {}
        for name, (library, kind) in components_of(load_index(folder)).items():
            found = network_class(library, kind)
            if found is None:
                continue
            with torch.device("meta"):
                networks[name] = (
                    found.from_config(found.load_config(str(folder / name), local_files_only=True))
                    if issubclass(found, diffusers.ModelMixin)
                    else found(found.config_class.from_pretrained(str(folder / name), local_files_only=True))
                )
            for module in networks[name].modules():
                for held in (module._parameters, module._buffers):
                    held.update({key: _repeated_zero(each) for key, each in held.items() if each is not None})
        return diffusers.DiffusionPipeline.from_pretrained(str(folder), local_files_only=True, **networks)
    except LOAD_FAULTS as error:
        raise InputError(f"{folder}: the pipeline cannot be loaded: {one_line(error)}") from error


def _repeated_zero(like: torch.Tensor) -> Any:
    zeros = torch.zeros((), dtype=like.dtype).expand(like.shape)
    return torch.nn.Parameter(zeros, requires_grad=False) if isinstance(like, torch.nn.Parameter) else zeros


def network_class(library: str, kind: str) -> Any:
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


def one_line(error: Exception) -> str:
    """Its message, on one line and cut."""
    return " ".join(str(error).split())[:300]
