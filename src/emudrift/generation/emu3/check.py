"""Validates Emu3 checkpoints without loading their language model: files, tokenizer, weight names, shapes and values."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import Emu3Config, Emu3ForConditionalGeneration

from emudrift.config.experiment import Experiment
from emudrift.config.model_settings import ModelSettings
from emudrift.config.models import Emu3Model
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.emu3.adapters import compare_adapter
from emudrift.generation.emu3.checkpoint import vq_weights
from emudrift.generation.emu3.checkpoint_files import read_json, renamed, weight_files
from emudrift.generation.emu3.recipe import check_positions
from emudrift.generation.emu3.vocabulary import check_vocabulary, load_processor
from emudrift.generation.model_files import Files, are_unchanged, hash_files, hub_commit
from emudrift.generation.weight_files import FLOATS, Tensor, scan_tensors

# Files of a checkpoint folder that matter (the rest is documentation).
_ENDINGS = {".safetensors", ".json", ".txt", ".jinja", ".model"}

# Names of what quantisation stores next to its weights (bitsandbytes, GPTQ, AWQ, FP8).
_QUANTISED = (
    ".qweight",
    ".qzeros",
    ".g_idx",
    ".scales",
    ".absmax",
    ".quant_map",
    ".SCB",
    ".weight_scale",
    ".weight_scale_inv",
)

# What transformers and torch raise for values that are of another type, negative, or too large.
_OF_CONFIGS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
)


def check_emu3(
    checkpoint: Path, adapter: Path | None = None, vq: Path | None = None, adapter_scale: float = 1
) -> dict[str, Any]:
    """Validates a checkpoint and its adapter without loading the language model: files, tokenizer, weights and their values.

    Args:
        vq: folder of the checkpoint whose VQ decodes the tokens; default: `checkpoint`.
        adapter_scale: strength of the adapter.

    Returns:
        `digest` (one sha256 over all files), `files` (name to size and sha256), `revisions` (hub commits, if known),
        `vocabulary` (ids of its tokens) and `vq` (sha256 over the weights of the VQ used for decoding).

    Raises:
        InputError: a file is missing or damaged; tokenizer, config and networks disagree on tokens; weights are quantised or
            not finite; or the adapter does not fit the base model.
    """
    config = read_json(checkpoint, "config.json", "checkpoint")
    if config.get("model_type") != "emu3":
        raise InputError(f"{checkpoint}/config.json: model_type is {config.get('model_type')!r}, expected 'emu3'")
    model = _meta_model(checkpoint)
    found = {renamed(name): tensor for name, tensor in scan_tensors(weight_files(checkpoint)).items()}
    _refuse_quantised(checkpoint, config, found)
    _compare_base(checkpoint, model, found)
    if vq is not None:
        model.model.vqmodel = _meta_model(vq).model.vqmodel
    vocabulary = check_vocabulary(checkpoint, load_processor(checkpoint).tokenizer, model)
    folders = {"checkpoint": checkpoint}
    if adapter is not None:
        compare_adapter(adapter, lambda: _meta_model(checkpoint), adapter_scale)
        folders["adapter"] = adapter
    if vq is not None:
        folders["vq"] = vq
    files = {role: hash_files(_relevant_files(folder), weights=True) for role, folder in folders.items()}
    digest = hashlib.sha256(
        json.dumps({r: {n: f["sha256"] for n, f in fs.items()} for r, fs in files.items()}).encode()
    )
    revisions = {role: commit for role, folder in folders.items() if (commit := hub_commit(folder))}
    return {
        "digest": digest.hexdigest(),
        "files": files,
        "revisions": revisions,
        "vocabulary": vocabulary,
        "vq": _vq_digest(checkpoint if vq is None else vq),
    }


def _vq_digest(checkpoint: Path) -> str:
    """sha256 over the VQ's weights as float32: equal for equal VQs, regardless of file layout and dtype."""
    sums = {
        name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in vq_weights(checkpoint)
        if not name.endswith("num_batches_tracked")  # A counter of training steps, not used in decoding.
    }
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def _meta_model(checkpoint: Path) -> Emu3ForConditionalGeneration:
    """The model described by config.json, on torch's meta device, i.e. without memory for its weights."""
    try:
        config = Emu3Config.from_pretrained(checkpoint, local_files_only=True)
        with torch.device("meta"):
            return Emu3ForConditionalGeneration(config)
    except (*_OF_CONFIGS, StrictDataclassError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{checkpoint}/config.json: not an Emu3 config ({said}); copy or download it again") from error


def _refuse_quantised(checkpoint: Path, config: dict[str, Any], found: dict[str, Tensor]) -> None:
    counters = "num_batches_tracked"  # Integers of BatchNorm.
    other = [name for name, each in sorted(found.items()) if each.dtype not in FLOATS and not name.endswith(counters)]
    signs = other + [name for name in sorted(found) if name.endswith(_QUANTISED)]
    if config.get("quantization_config") or signs:
        sign = f"its weight {signs[0]} is {found[signs[0]].dtype}" if signs else "config.json has quantization_config"
        raise InputError(
            f"{checkpoint}: a quantised checkpoint ({sign}), which is not loaded: quantisation changes the images; give the "
            "one with 16-bit weights"
        )


def _compare_base(checkpoint: Path, model: Emu3ForConditionalGeneration, found: dict[str, Tensor]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    # BatchNorm counters are optional, and tied weights are stored once.
    tied = "lm_head.weight" if model.config.tie_word_embeddings else None
    optional = {name for name in wanted if name.endswith("num_batches_tracked") or name == tied}
    missing = sorted(set(wanted) - set(found) - optional)
    wrong = sorted(name for name in set(wanted) & set(found) if wanted[name] != found[name].shape)
    if missing:
        raise InputError(f"{checkpoint}: {len(missing)} weights are missing; the first is {missing[0]}")
    if wrong:
        name = wrong[0]
        raise InputError(
            f"{checkpoint}: weight {name} has shape {found[name].shape}, but config.json requires {wanted[name]}"
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
    folders = experiment.checkpoint_folders(model)
    scale = model.adapter_scale
    found = check_emu3(**folders, adapter_scale=1 if scale is None else scale)
    if isinstance(model, Emu3Model):
        generation = experiment.config.generation
        positions = _meta_model(folders["checkpoint"]).config.text_config.max_position_embeddings
        check_positions(generation.width, generation.height, positions, 0)
    return found


def model_is_unchanged(experiment: Experiment, model: ModelSettings, files: dict[str, Any]) -> bool:
    return have_same_times(files, experiment.checkpoint_folders(model))
