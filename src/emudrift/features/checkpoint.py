"""Loading networks from checkpoints in transformers format; checkpoints are validated before loading."""

import json
import pickle
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from safetensors import SafetensorError

from emudrift.config.annotated import all_columns
from emudrift.config.experiment import Experiment
from emudrift.config.extractors import CheckpointExtractor
from emudrift.errors import InputError

KEY = "extractors: checkpoint"


def check_pretrained(folder: Path, model_type: str, dims: int) -> None:
    """Validates a checkpoint without loading its weights.

    Raises:
        InputError: there is no checkpoint, it has another model type or feature dimension, or it has no weights.
    """
    from transformers import AutoConfig

    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{KEY}: {folder}: has no readable config.json, so it is not a {model_type} checkpoint"
        ) from error
    if found != model_type:
        raise InputError(f"{KEY}: {path}: model_type is {found!r}, expected {model_type!r}")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{KEY}: {path}: cannot read the config: {_line(error)}") from error
    width = config.projection_dim if model_type == "clip" else config.hidden_size
    if width != dims:
        raise InputError(f"extractors: {model_type}: dims: {dims} does not match {path}; set dims: {width}")
    if not (list(folder.glob("*.safetensors")) or (folder / "pytorch_model.bin").exists()):
        raise InputError(f"{KEY}: {folder}: has neither model.safetensors nor pytorch_model.bin")


def check_tokenizer(folder: Path) -> None:
    """Raises InputError if a checkpoint has no tokenizer, for which transformers would silently create an empty one."""
    if not (folder / "tokenizer.json").exists() and not all(
        (folder / n).exists() for n in ("vocab.json", "merges.txt")
    ):
        raise InputError(
            f"{KEY}: {folder}: clip_score needs tokenizer.json, or vocab.json and merges.txt, in this folder"
        )


def load_pretrained(kind: Any, folder: Path, device: str) -> Any:
    """Loads a network in float32 onto its device, with every weight from the files.

    Args:
        kind: transformers class.

    Raises:
        InputError: the files are damaged, or lack weights (which transformers would initialise at random).
    """
    try:
        # Files other than safetensors are read with weights_only=True, transformers' default.
        model, found = kind.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise InputError(f"{KEY}: {folder}: the checkpoint cannot be loaded: {_line(error)}") from error
    missing = sorted(map(str, found["missing_keys"]))
    if missing:
        raise InputError(
            f"{KEY}: {folder}: its files lack {len(missing)} of the network's weights, such as {missing[0]}; download them again"
        )
    return model.to(torch.device(device)).eval()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def check(settings: CheckpointExtractor, experiment: Experiment) -> None:
    """Validates the checkpoint of an extractor, for the registry: also its tokenizer, where a metric embeds captions by it."""
    folder = experiment.checkpoint_folder(settings.checkpoint)
    check_pretrained(folder, settings.name, settings.dims)
    metrics = map(experiment.config.metric, experiment.config.metric_names())
    of_pairs = any(wanted.clip == settings for wanted in all_columns(experiment))
    if of_pairs or any(metric.inputs == "captions" and metric.reads_from(settings) for metric in metrics):
        check_tokenizer(folder)
