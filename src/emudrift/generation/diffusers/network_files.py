"""The network that denoises, where a fully fine-tuned one stands in place of the pipeline's own."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from emudrift.data.json_input import load_json
from emudrift.data.pipeline_files import wanted_files
from emudrift.errors import InputError

FITS = (
    "_class_name",
    "in_channels",
    "out_channels",
    "cross_attention_dim",
    "joint_attention_dim",
    "block_out_channels",
)
"""Settings in which a network agrees with the one that it stands in place of; `addition_embed_type`, too, None by default."""


def denoiser_of(components: Collection[str], folder: Path) -> str:
    """Its name among a pipeline's components. Raises InputError where it is not known by name."""
    for name in ("transformer", "unet"):
        if name in components:
            return name
    raise InputError(
        f"{folder}: the pipeline has neither a unet nor a transformer; give the whole pipeline as checkpoint"
    )


def find_network(path: Path, name: str) -> Path:
    """The folder of a network: itself, or its subfolder of the component's name. Raises InputError if neither has config.json."""
    for folder in (path / name, path):
        if (folder / "config.json").is_file():
            return folder
    raise InputError(f"{path}: has no config.json, and no folder {name} with one, so it is not a network of diffusers")


def refuse_other_kind(folder: Path, own: Path) -> None:
    """Raises InputError where a network is of another architecture than the pipeline's own, by the config.json of both."""
    ours, theirs = (_config(each / "config.json") for each in (own, folder))
    other = [key for key in FITS if key in ours and key in theirs and ours[key] != theirs[key]]
    other += [key for key in ("addition_embed_type",) if ours.get(key) != theirs.get(key)]
    if other:
        raise InputError(
            f"{folder}/config.json: {other[0]} is {theirs.get(other[0])!r}, and {ours.get(other[0])!r} in {own}, which this "
            "network stands in place of: it is one of another pipeline"
        )


def _config(path: Path) -> dict[str, Any]:
    found = load_json(path, "the settings of a network of diffusers are needed")
    if not isinstance(found, dict):
        raise InputError(f"{path} contains {type(found).__name__}, not an object")
    return found


def network_files(folder: Path, name: str, variant: str | None) -> dict[str, Path]:
    """The files that it is loaded from. Raises InputError if no weights in safetensors format are among them."""
    there = {f"{name}/{path.name}": path for path in sorted(folder.iterdir()) if path.is_file()}
    found = {each: there[each] for each in wanted_files(there, [variant], False)}
    if not any(path.suffix == ".safetensors" for path in found.values()):
        raise InputError(f"{folder}: no weights in safetensors format; other formats are not loaded")
    return found
