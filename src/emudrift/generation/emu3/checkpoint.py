"""Loads Emu3 checkpoints, with their adapter merged, and their VQ."""

from collections.abc import Iterator
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from safetensors import SafetensorError, safe_open
from transformers import Emu3Config, Emu3ForConditionalGeneration, Emu3VQVAE

from emudrift.errors import InputError
from emudrift.generation.emu3.adapters import merge_adapter
from emudrift.generation.emu3.checkpoint_files import renamed, weight_files


def load_emu3(
    checkpoint: Path,
    adapter: Path | None,
    dtype: torch.dtype,
    attention: str,
    device: torch.device,
    vq: Path | None = None,
    adapter_scale: float = 1,
) -> Emu3ForConditionalGeneration:
    """Loads a checkpoint, merges its adapter and keeps the VQ in float32.

    The VQ is always loaded from a checkpoint: an adapter that also targets it (its attention has projections of the same
    names) does not change it, so that all arms of a base model use the same decoder.

    Args:
        vq: folder of the checkpoint whose VQ decodes the tokens; default: `checkpoint`.
        adapter_scale: strength of the adapter.

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
        model = merge_adapter(model, adapter, adapter_scale)
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


def load_vq(checkpoint: Path) -> Emu3VQVAE:
    """Loads the VQ of a checkpoint in float32. Raises InputError if its files are missing or do not fit."""
    config = Emu3Config.from_pretrained(checkpoint, local_files_only=True)
    vq = Emu3VQVAE(config.vq_config)
    try:
        vq.load_state_dict(dict(vq_weights(checkpoint)))
    except RuntimeError as error:
        raise InputError(f"{checkpoint}: the VQ's weights do not fit its config.json: {error}") from error
    return vq


def vq_weights(checkpoint: Path) -> Iterator[tuple[str, torch.Tensor]]:
    prefix = "model.vqmodel."
    for path in weight_files(checkpoint):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                if renamed(name).startswith(prefix):
                    yield renamed(name).removeprefix(prefix), file.get_tensor(name).float()
