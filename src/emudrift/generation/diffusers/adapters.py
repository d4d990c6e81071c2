"""Adapters of pipelines: loaded as diffusers and peft do, and then compared, since both load what fits and drop the rest."""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from emudrift.errors import InputError
from emudrift.generation.diffusers.adapter_files import WEIGHTS
from emudrift.generation.diffusers.loading import LOAD_FAULTS, one_line
from emudrift.generation.diffusers.network_files import denoiser_of
from emudrift.generation.peft_scales import why_not_linear
from emudrift.runtime.library_warnings import LIBRARIES

Tensors = dict[str, torch.Tensor]

NAME = "emudrift"
"""Of the adapter, within its pipeline."""
SHOWN = 8
"""Weights that a message names."""


def apply_adapter(pipeline: Any, adapter: Path | dict[str, Path], scale: float = 1) -> None:
    """Loads an adapter into a pipeline, where it stays unmerged: in 16 bit, merging would round a part of its change away.

    Args:
        adapter: as `find_adapter` gives it.
        scale: its change of the weights is multiplied by it.

    Raises:
        InputError: it does not fit the pipeline, one of its weights belongs to no module or a module's is not among them, it
            changes nothing, or its change is not proportional to the scale.
    """
    where = adapter if isinstance(adapter, Path) else next(iter(adapter.values()))
    try:
        with _unheard():
            given = _load_lora(pipeline, adapter) if isinstance(adapter, Path) else _load_peft(pipeline, adapter)
        loaded = _loaded(pipeline)
    except (*LOAD_FAULTS, LookupError, AssertionError) as error:
        said = one_line(error) or "its weights have other sizes than diffusers expects"
        raise InputError(f"{where}: the adapter does not fit the pipeline {type(pipeline).__name__}: {said}") from error
    _compare(where, given, loaded)
    for component in _adapted(pipeline):
        if scale != 1 and (reason := why_not_linear(component.peft_config[NAME])):
            raise InputError(
                f"{where}: the adapter cannot be scaled by {scale:g}: {reason}; remove scale, or set it to 1"
            )
        for module in component.modules():
            if hasattr(module, "scale_layer"):
                module.scale_layer(scale)


@contextmanager
def _unheard() -> Iterator[None]:
    """Without the libraries' warnings of weights that are left out: those of parts that a file lacks would reach the page."""
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _load_lora(pipeline: Any, path: Path) -> Tensors:
    """Loads a LoRA file. Returns its weights by the names that diffusers gives them, which it reads from several formats.

    Raises:
        InputError: the pipeline takes none, or diffusers drops some of the file's weights while it translates their names.
    """
    if not hasattr(pipeline, "load_lora_weights"):
        raise InputError(f"{path}: the pipeline {type(pipeline).__name__} takes no LoRA file; give a folder of PEFT")
    read = pipeline.lora_state_dict
    given: Tensors = {}
    dropped: list[str] = []

    def watch(source: Any, **options: Any) -> Any:
        found = read(source, **options)
        given.update(found[0])
        dropped.extend(_dropped(load_file(path), lambda tensors: read(tensors, **options)[0]))
        return found

    pipeline.lora_state_dict = watch
    try:
        pipeline.load_lora_weights(
            str(path.parent), weight_name=path.name, adapter_name=NAME, use_safetensors=True, local_files_only=True
        )
    finally:
        del pipeline.lora_state_dict
    if dropped:
        raise InputError(f"{path}: diffusers drops {len(dropped)} of the adapter's weights: {_names(dropped)}")
    return given


def _dropped(tensors: Tensors, translate: Callable[[Tensors], Tensors]) -> list[str]:
    """The weights of a file that do not come out of its translation into the names of diffusers.

    Translating renames, splits, joins and scales: each weight is followed through it by its gradient. An alpha becomes a number,
    and counts as used if its module has weights.
    """
    leaves = {name: tensor.float().requires_grad_() for name, tensor in tensors.items()}
    with torch.enable_grad():
        found = translate({name: leaf * 1 for name, leaf in leaves.items()})
        sums = [each.sum() for each in found.values() if isinstance(each, torch.Tensor) and each.requires_grad]
        if sums:
            torch.stack(sums).sum().backward()
    modules = {name.rpartition(".lora")[0] or name.split(".")[0] for name in tensors if not name.endswith(".alpha")}
    return [
        name
        for name, leaf in leaves.items()
        if (name.removesuffix(".alpha") not in modules if name.endswith(".alpha") else leaf.grad is None)
    ]


def _load_peft(pipeline: Any, folders: dict[str, Path]) -> Tensors:
    """Loads a folder of PEFT for each component. Returns their weights, by component and module."""
    from peft import PeftConfig, inject_adapter_in_model, set_peft_model_state_dict

    given: Tensors = {}
    for role, folder in folders.items():
        name = role or denoiser_of(pipeline.components, folder)
        component = pipeline.components.get(name)
        if not isinstance(component, torch.nn.Module):
            raise InputError(f"{folder}: the pipeline {type(pipeline).__name__} has no network {name}")
        tensors, config = load_file(folder / WEIGHTS), PeftConfig.from_pretrained(str(folder))
        if getattr(config, "modules_to_save", None):
            raise InputError(
                f"{folder}: the adapter replaces whole layers of {name} (modules_to_save), which is not loaded here; merge it, "
                "and give the result as a checkpoint"
            )
        inject_adapter_in_model(config, component, adapter_name=NAME)
        set_peft_model_state_dict(component, tensors, adapter_name=NAME)
        component.eval()
        given |= {f"{name}.{key.removeprefix('base_model.model.')}": tensor for key, tensor in tensors.items()}
    return given


def _adapted(pipeline: Any) -> Iterator[Any]:
    """The networks that have the adapter."""
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module) and NAME in getattr(component, "peft_config", {}):
            yield component


def _loaded(pipeline: Any) -> Tensors:
    """The adapter's weights in the pipeline, by component and module."""
    from peft import get_peft_model_state_dict

    names = {id(component): name for name, component in pipeline.components.items()}
    return {
        f"{names[id(component)]}.{key}": tensor
        for component in _adapted(pipeline)
        for key, tensor in get_peft_model_state_dict(component, adapter_name=NAME, save_embedding_layers=False).items()
    }


def _compare(where: Path, given: Tensors, loaded: Tensors) -> None:
    """Compares an adapter's weights with those in the pipeline, by their values: names differ from format to format.

    Raises:
        InputError: there are other weights than the adapter's, or they change nothing.
    """
    dtypes = {tensor.dtype for tensor in loaded.values()}
    there = Counter(_identity(tensor, tensor.dtype) for tensor in loaded.values())
    unused = []
    for name, tensor in given.items():
        found = next((each for d in dtypes if there[each := _identity(tensor, d)] > 0), None)
        if found is None:
            unused.append(name)
        else:
            there[found] -= 1
    if unused:
        raise InputError(
            f"{where}: {len(unused)} of the adapter's {len(given)} weights belong to no module of the pipeline: "
            f"{_names(unused)}; was it trained on another model?"
        )
    if missing := sum(there.values()):
        lacking = [name for name, tensor in loaded.items() if there[_identity(tensor, tensor.dtype)] > 0]
        raise InputError(f"{where}: {missing} of the adapter's weights are missing: {_names(lacking)}")
    ups = [tensor for name, tensor in given.items() if re.search(r"lora_B\.|lora_up\.|\.up\.weight$", name)]
    if ups and not any(tensor.any() for tensor in ups):
        raise InputError(
            f"{where}: the adapter changes nothing: its {len(ups)} lora_B weights are 0, as before training"
        )


def _identity(tensor: torch.Tensor, dtype: torch.dtype) -> tuple[Any, ...]:
    if tensor.is_meta:  # A module for which a file has no weight.
        return tuple(tensor.shape), b""
    data = tensor.detach().to(dtype).contiguous().cpu().flatten().view(torch.uint8).numpy().data
    return tuple(tensor.shape), hashlib.sha256(data).digest()


def _names(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
