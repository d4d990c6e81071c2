"""PEFT adapters of Emu3: validating one against its base model, and merging it, at full strength or another."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from safetensors import safe_open
from transformers import Emu3ForConditionalGeneration

from emudrift.errors import InputError
from emudrift.generation.emu3.checkpoint_files import OLD_NAMES, read_json, renamed
from emudrift.generation.peft_scales import why_not_linear
from emudrift.generation.weight_files import FLOATS, scan_tensors

if TYPE_CHECKING:
    from peft import PeftConfig

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# What peft raises for settings that are of another type, or do not fit the model.
_OF_PEFT = (OSError, ValueError, TypeError, LookupError, AttributeError, ImportError, RuntimeError, re.error)

_NAMING = ("target_modules", "exclude_modules", "modules_to_save", "rank_pattern", "alpha_pattern", "target_parameters")
"""Settings of an adapter that name modules, or match their names with regular expressions."""
_OLD_MODULES = (
    (r"text_model(\\?\.)lm_head", r"lm_head"),
    (r"text_model(\\?\.)model(\\?\.)", r"model\1text_model\2"),
    (r"^model(\\?\.)layers", r"text_model\1layers"),
)
"""Regular expressions over those settings as they were with transformers up to 4.51."""


def compare_adapter(adapter: Path, base: Callable[[], Emu3ForConditionalGeneration], scale: float = 1) -> None:
    """Checks that an adapter has exactly the weights, with the shapes, that its config implies for this base model.

    peft itself loads what fits and ignores the rest silently or with a warning, so an incomplete adapter would go unnoticed.

    Args:
        base: makes the base model on the meta device.
        scale: strength that it will be merged with.

    Raises:
        InputError: a file is missing or damaged, the weights do not fit, or it has no strength other than 1.
    """
    from peft import get_peft_model, get_peft_model_state_dict

    read_json(adapter, CONFIG, "adapter")
    path = adapter / WEIGHTS
    if not path.is_file():
        raise InputError(f"{adapter}: the adapter's weights are missing: {path.name}")
    tensors = {_today(name): tensor for name, tensor in scan_tensors([path]).items()}
    quantised = sorted(name for name, tensor in tensors.items() if tensor.dtype not in FLOATS)
    if quantised:
        raise InputError(
            f"{path}: {quantised[0]} has the dtype {tensors[quantised[0]].dtype}; expected {', '.join(sorted(FLOATS))}"
        )
    found = {name: tensor.shape for name, tensor in tensors.items()}
    try:
        with torch.device("meta"):
            model: Any = get_peft_model(base(), load_config(adapter))
            _refuse_unscalable(adapter, model.active_peft_config, scale)
            needed = get_peft_model_state_dict(model, save_embedding_layers=False)
            # Whole embeddings, which peft saves as well if an adapter targets them, and loads if they are there.
            allowed = get_peft_model_state_dict(model, save_embedding_layers=True)
            if not hasattr(model, "merge_and_unload"):
                raise ValueError(
                    f"an adapter of type {model.active_peft_config.peft_type.value} cannot be merged into weights"
                )
            model.merge_and_unload()  # Of tensors without values: some adapters turn out here to be impossible to merge.
    except _OF_PEFT as error:
        raise InputError(f"{adapter}: the adapter does not fit the base model: {error}") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in (allowed | needed).items()}
    wrong = {
        "are missing": sorted(set(needed) - set(found)),
        "belong to a base model with other modules": sorted(set(found) - set(wanted)),
        "belong to a base model with other sizes": sorted(
            name for name in set(wanted) & set(found) if wanted[name] != found[name]
        ),
    }
    for fault, names in wrong.items():
        if names:
            raise InputError(
                f"{path}: {len(names)} of the adapter's {len(needed)} weights {fault}; the first is {names[0]}"
            )


def merge_adapter(model: Emu3ForConditionalGeneration, adapter: Path, scale: float = 1) -> Emu3ForConditionalGeneration:
    """Merges an adapter into its base model: W0 + scale * (W1 - W0) for each weight, if W1 is the one of full strength.

    This is WiSE-FT (Wortsman et al., 2022), by peft's `rescale_adapter_scale`.

    Raises:
        InputError: it does not fit, or peft's way is not linear for its kind.
    """
    from peft import PeftModel
    from peft.helpers import rescale_adapter_scale

    try:
        config = load_config(adapter)
        _refuse_unscalable(adapter, config, scale)
        if scale != 1:
            _refuse_other_base(adapter, model)
        loaded = PeftModel.from_pretrained(model, str(adapter), config=config, key_mapping=OLD_NAMES)
        with rescale_adapter_scale(loaded, scale) if scale != 1 else nullcontext():
            merged: Emu3ForConditionalGeneration = loaded.merge_and_unload(safe_merge=True)
    except _OF_PEFT as error:
        raise InputError(f"{adapter}: the adapter does not fit the base model: {error}") from error
    return merged


def _refuse_unscalable(adapter: Path, config: Any, scale: float) -> None:
    """Raises InputError where an adapter at another strength than 1 is not W0 + scale * (W1 - W0)."""
    if scale != 1 and (reason := why_not_linear(config)):
        raise InputError(
            f"{adapter}: the adapter cannot be scaled by {scale:g}: {reason}; remove scale, or set it to 1"
        )


def _refuse_other_base(adapter: Path, model: Emu3ForConditionalGeneration) -> None:
    """Raises InputError where embeddings that peft saved with the adapter are not the base model's: they are not scaled."""
    with safe_open(adapter / WEIGHTS, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  (safe_open is no mapping)
            if name.endswith("base_layer.weight"):
                ours = model.get_parameter(_today(name).removeprefix(_PREFIX).replace(".base_layer", ""))
                if not torch.equal(file.get_tensor(name).to(ours), ours):
                    raise InputError(
                        f"{adapter / WEIGHTS}: the adapter cannot be scaled: {name} is not that of the base model; remove "
                        "scale, or set it to 1"
                    )


def load_config(adapter: Path) -> "PeftConfig":
    """The config of an adapter, with modules by today's names. Raises as peft does."""
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(adapter))
    names = scan_tensors([adapter / WEIGHTS])
    if any(_today(name) != name for name in names):
        for key in _NAMING:
            if (value := getattr(config, key, None)) is not None:
                setattr(config, key, _translated(value))
    return config


def _today(name: str) -> str:
    """Today's name of an adapter's weight."""
    return _PREFIX + renamed(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else name


def _translated(value: Any) -> Any:
    if isinstance(value, str):
        for old, new in _OLD_MODULES:
            value = re.sub(old, new, value)
        return value
    if isinstance(value, dict):
        return {_translated(key): each for key, each in value.items()}
    return type(value)(_translated(each) for each in value)
