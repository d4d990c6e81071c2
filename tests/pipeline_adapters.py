"""LoRA adapters of tiny pipelines in the formats that exist, and their weights merged by hand."""

import json
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before diffusers)

import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

RANK, ALPHA = 4, 8

Changes = dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]]
"""By network and module: A (rank, in) and B (out, rank)."""


def random_changes(pipeline: DiffusionPipeline, targets: dict[str, tuple[str, ...]], size: float = 0.3) -> Changes:
    """A change of every linear layer whose name ends as `targets` say, by network."""
    random = torch.Generator().manual_seed(5)
    found: Changes = {}
    for network, ends in targets.items():
        for name, module in getattr(pipeline, network).named_modules():
            if isinstance(module, torch.nn.Linear) and name.endswith(ends):
                a = torch.randn(RANK, module.in_features, generator=random)
                b = size * torch.randn(module.out_features, RANK, generator=random)
                found.setdefault(network, {})[name] = (a, b)
    return found


def merge(pipeline: DiffusionPipeline, changes: Changes, scale: float) -> DiffusionPipeline:
    """W + scale * (alpha / rank) * B A, for each layer, by hand."""
    for network, modules in changes.items():
        for name, (a, b) in modules.items():
            getattr(pipeline, network).get_submodule(name).weight.data += scale * ALPHA / RANK * (b @ a)
    return pipeline


def save_diffusers(folder: Path, changes: Changes) -> Path:
    """As diffusers saves LoRA weights today, with the settings of PEFT in the file's metadata."""
    folder.mkdir()
    tensors = {f"{n}.{m}.{key}": t for n, each in changes.items() for m, ab in each.items() for key, t in _named(ab)}
    metadata = {
        f"{network}.{key}": value
        for network, each in changes.items()
        for key, value in {"r": RANK, "lora_alpha": ALPHA, "target_modules": list(each)}.items()
    }
    save_file(tensors, folder / "pytorch_lora_weights.safetensors", {"lora_adapter_metadata": json.dumps(metadata)})
    return folder


def save_kohya(folder: Path, changes: Changes) -> Path:
    """One file as kohya's scripts save it and A1111 reads it. Returns the file."""
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}
    tensors = {}
    for network, each in changes.items():
        for module, (a, b) in each.items():
            name = prefixes[network] + module.replace(".", "_")
            tensors |= {
                f"{name}.lora_down.weight": a,
                f"{name}.lora_up.weight": b,
                f"{name}.alpha": torch.tensor(float(ALPHA)),
            }
    folder.mkdir()
    save_file(tensors, folder / "kohya.safetensors")
    return folder / "kohya.safetensors"


def save_peft(folder: Path, changes: Changes, **settings: Any) -> Path:
    """A folder of PEFT for each network; for one network, the folder itself."""
    for network, each in changes.items():
        place = folder / network if len(changes) > 1 else folder
        place.mkdir(parents=True)
        tensors = {f"base_model.model.{module}.{key}": t for module, ab in each.items() for key, t in _named(ab)}
        save_file(tensors, place / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": list(each)} | settings
        (place / "adapter_config.json").write_text(json.dumps(config))
    return folder


def _named(ab: tuple[torch.Tensor, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    return [("lora_A.weight", ab[0]), ("lora_B.weight", ab[1])]
