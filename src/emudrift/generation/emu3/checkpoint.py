"""Emu3 checkpoints: validating one without loading its weights, and loading it with its adapter merged."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from safetensors import SafetensorError, safe_open
from transformers import Emu3Config, Emu3ForConditionalGeneration, Emu3VQVAE

from emudrift.config.experiment import Experiment
from emudrift.config.model_settings import ModelSettings
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.model_files import Files, are_unchanged, hash_files, hub_commit

Shapes = dict[str, tuple[int, ...]]

# Files of a checkpoint folder that matter (the rest is documentation).
_ENDINGS = {".safetensors", ".json", ".txt", ".jinja", ".model"}

# Checkpoints written before transformers 5 (such as BAAI/Emu3-Gen-hf) use other weight names; transformers applies the same
# mapping when loading them (conversion_mapping.py).
_RENAMED = (
    ("text_model.lm_head.", "lm_head."),
    ("text_model.model.", "model.text_model."),
    ("text_model.", "model.text_model."),
    ("vqmodel.", "model.vqmodel."),
)


def check_emu3(checkpoint: Path, adapter: Path | None = None, vq: Path | None = None) -> dict[str, Any]:
    """Validates a checkpoint and its adapter without loading the language model: files, weight names and shapes.

    Args:
        vq: folder of the checkpoint whose VQ decodes the tokens; default: `checkpoint`.

    Returns:
        `digest` (one sha256 over all files), `files` (name to size and sha256), `revisions` (hub commits, if known) and
        `vq` (sha256 over the weights of the VQ used for decoding).

    Raises:
        InputError: a file is missing or damaged, or the adapter does not fit the base model.
    """
    config = _read_json(checkpoint, "config.json", "checkpoint")
    if config.get("model_type") != "emu3":
        raise InputError(f"{checkpoint}/config.json: model_type is {config.get('model_type')!r}, expected 'emu3'")
    wanted = {name: tuple(tensor.shape) for name, tensor in _meta_model(checkpoint).state_dict().items()}
    found = _shapes_of_files(_weight_files(checkpoint))
    _compare_base(checkpoint, wanted, {_renamed(name): shape for name, shape in found.items()})
    folders = {"checkpoint": checkpoint}
    if adapter is not None:
        _compare_adapter(adapter, checkpoint)
        folders["adapter"] = adapter
    if vq is not None:
        folders["vq"] = vq
    files = {role: hash_files(_relevant_files(folder)) for role, folder in folders.items()}
    digest = hashlib.sha256(
        json.dumps({r: {n: f["sha256"] for n, f in fs.items()} for r, fs in files.items()}).encode()
    )
    revisions = {role: commit for role, folder in folders.items() if (commit := hub_commit(folder))}
    return {
        "digest": digest.hexdigest(),
        "files": files,
        "revisions": revisions,
        "vq": _vq_digest(checkpoint if vq is None else vq),
    }


def load_emu3(
    checkpoint: Path,
    adapter: Path | None,
    dtype: torch.dtype,
    attention: str,
    device: torch.device,
    vq: Path | None = None,
) -> Emu3ForConditionalGeneration:
    """Loads a checkpoint, merges its adapter and keeps the VQ in float32.

    The VQ is always loaded from a checkpoint: an adapter that also targets it (its attention has projections of the same
    names) does not change it, so that all arms of a base model use the same decoder.

    Args:
        vq: folder of the checkpoint whose VQ decodes the tokens; default: `checkpoint`.

    Raises:
        InputError: the files cannot be loaded, or the adapter does not fit.
    """
    try:
        model = Emu3ForConditionalGeneration.from_pretrained(
            checkpoint, dtype=dtype, attn_implementation=attention, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise InputError(f"{checkpoint}: the checkpoint cannot be loaded: {error}") from error
    if adapter is not None:
        model = _merge_adapter(model, adapter)
    if dtype != torch.float32 or adapter is not None or vq is not None:
        # Rounding the VQ's weights to 16 bits changes pixels; it is small, so it is reloaded in float32.
        model.model.vqmodel = load_vq(checkpoint if vq is None else vq)
    # All sampling settings are passed explicitly; the checkpoint's own generation defaults are not used.
    model.generation_config.temperature = model.generation_config.top_p = model.generation_config.top_k = None
    try:
        return model.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"{checkpoint}: the model does not fit into device memory; use a larger device, or check that nothing else runs "
            "on it (nvidia-smi)"
        ) from error


def _merge_adapter(model: Emu3ForConditionalGeneration, adapter: Path) -> Emu3ForConditionalGeneration:
    from peft import PeftModel

    try:
        merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{adapter}: the adapter does not fit the base model: {error}") from error
    return merged


def load_vq(checkpoint: Path) -> Emu3VQVAE:
    """Loads the VQ of a checkpoint in float32. Raises InputError if its files are missing or do not fit."""
    config = Emu3Config.from_pretrained(checkpoint, local_files_only=True)
    vq = Emu3VQVAE(config.vq_config)
    try:
        vq.load_state_dict(dict(_vq_weights(checkpoint)))
    except RuntimeError as error:
        raise InputError(f"{checkpoint}: the VQ's weights do not fit its config.json: {error}") from error
    return vq


def _vq_digest(checkpoint: Path) -> str:
    """sha256 over the VQ's weights as float32: equal for equal VQs, regardless of file layout and dtype."""
    sums = {
        name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in _vq_weights(checkpoint)
        if not name.endswith("num_batches_tracked")  # A counter of training steps, not used in decoding.
    }
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def _vq_weights(checkpoint: Path) -> Iterator[tuple[str, torch.Tensor]]:
    prefix = "model.vqmodel."
    for path in _weight_files(checkpoint):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                if _renamed(name).startswith(prefix):
                    yield _renamed(name).removeprefix(prefix), file.get_tensor(name).float()


def _renamed(name: str) -> str:
    return next((new + name.removeprefix(old) for old, new in _RENAMED if name.startswith(old)), name)


def _read_json(folder: Path, name: str, what: str) -> dict[str, Any]:
    path = folder / name
    if not folder.is_dir():
        raise InputError(f"{folder}: the {what} folder is missing; is its path right, or was it not downloaded yet?")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder}: has no {name}, so it is not a {what} folder") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    return content


def _weight_files(folder: Path) -> list[Path]:
    if (folder / "model.safetensors.index.json").exists():
        index = _read_json(folder, "model.safetensors.index.json", "checkpoint")
        files = [folder / name for name in sorted(set(index.get("weight_map", {}).values()))]
    else:
        files = [folder / "model.safetensors"]
    missing = [path.name for path in files if not path.is_file()]
    if missing or not files:
        raise InputError(
            f"{folder}: the weights are missing: {', '.join(missing) or 'an index without files'} "
            "(expected model.safetensors, or shards and their model.safetensors.index.json)"
        )
    return files


def _shapes_of_files(files: list[Path]) -> Shapes:
    shapes: Shapes = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: incomplete safetensors file ({error}); copy or download it again") from error
    return shapes


def _meta_model(checkpoint: Path) -> Emu3ForConditionalGeneration:
    """The model described by config.json, on torch's meta device, i.e. without memory for its weights."""
    try:
        config = Emu3Config.from_pretrained(checkpoint, local_files_only=True)
        with torch.device("meta"):
            return Emu3ForConditionalGeneration(config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{checkpoint}/config.json: not an Emu3 config: {error}") from error


def _compare_base(checkpoint: Path, wanted: Shapes, found: Shapes) -> None:
    # BatchNorm counters are optional, and tied weights are stored once.
    optional = {name for name in wanted if name.endswith("num_batches_tracked") or name == "lm_head.weight"}
    missing = sorted(set(wanted) - set(found) - optional)
    wrong = sorted(name for name in set(wanted) & set(found) if wanted[name] != found[name])
    if missing:
        raise InputError(f"{checkpoint}: {len(missing)} weights are missing; the first is {missing[0]}")
    if wrong:
        name = wrong[0]
        raise InputError(
            f"{checkpoint}: weight {name} has shape {found[name]}, but config.json requires {wanted[name]}"
        )


def _compare_adapter(adapter: Path, checkpoint: Path) -> None:
    """Checks that the adapter has exactly the weights, with the shapes, that its config implies for this base model.

    peft itself loads what fits and ignores the rest silently or with a warning, so an incomplete adapter would go unnoticed.
    """
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict

    _read_json(adapter, "adapter_config.json", "adapter")
    path = adapter / "adapter_model.safetensors"
    if not path.is_file():
        raise InputError(f"{adapter}: the adapter's weights are missing: {path.name}")
    found = _shapes_of_files([path])
    try:
        config = PeftConfig.from_pretrained(str(adapter))
        with torch.device("meta"):
            expected = get_peft_model_state_dict(
                get_peft_model(_meta_model(checkpoint), config), save_embedding_layers=False
            )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{adapter}: the adapter does not fit the base model: {error}") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    wrong = {
        "are missing": sorted(set(wanted) - set(found)),
        "belong to a base model with other modules": sorted(set(found) - set(wanted)),
        "belong to a base model with other sizes": sorted(
            name for name in set(wanted) & set(found) if wanted[name] != found[name]
        ),
    }
    for fault, names in wrong.items():
        if names:
            raise InputError(
                f"{path}: {len(names)} of the adapter's {len(wanted)} weights {fault}; the first is {names[0]}"
            )


def have_same_times(recorded: dict[str, Files], folders: dict[str, Path]) -> bool:
    """Whether all files have the sizes and modification times that `check_emu3` recorded, without reading them."""
    return all(are_unchanged(recorded.get(role, {}), _relevant_files(folder)) for role, folder in folders.items())


def _relevant_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: the folder is missing; is its path right, or was it not downloaded yet?")
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix in _ENDINGS and path.is_file()}


# --- registry entry, also for the tokenizer of such a checkpoint ---


def check_model(experiment: Experiment, model: ModelSettings, prompts: Sequence[Prompt]) -> dict[str, Any]:
    return check_emu3(**experiment.checkpoint_folders(model))


def model_is_unchanged(experiment: Experiment, model: ModelSettings, files: dict[str, Any]) -> bool:
    return have_same_times(files, experiment.checkpoint_folders(model))
