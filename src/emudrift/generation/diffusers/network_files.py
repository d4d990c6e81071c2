"""The network that denoises, where a fully fine-tuned one stands in place of the pipeline's own."""

from collections.abc import Collection
from pathlib import Path

from emudrift.data.pipeline_files import wanted_files
from emudrift.errors import InputError


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


def network_files(folder: Path, name: str, variant: str | None) -> dict[str, Path]:
    """The files that it is loaded from. Raises InputError if no weights in safetensors format are among them."""
    there = {f"{name}/{path.name}": path for path in sorted(folder.iterdir()) if path.is_file()}
    found = {each: there[each] for each in wanted_files(there, [variant], False)}
    if not any(path.suffix == ".safetensors" for path in found.values()):
        raise InputError(f"{folder}: no weights in safetensors format; other formats are not loaded")
    return found
