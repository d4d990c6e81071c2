"""The files of a pipeline's adapter: one LoRA file, or folders of PEFT."""

from pathlib import Path

from emudrift.errors import InputError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LORA = "pytorch_lora_weights.safetensors"
"""The name by which diffusers saves one."""


def find_adapter(path: Path, weight_name: str | None = None) -> Path | dict[str, Path]:
    """What an adapter is: a LoRA file, or a folder of PEFT for each component ("" for the network that denoises).

    Args:
        path: a LoRA file; or a folder with one, with PEFT's files, or with subfolders of PEFT named like components.
        weight_name: the LoRA file of the folder.

    Raises:
        InputError: nothing is there, or several LoRA files are, of which none is named.
    """
    if weight_name is not None:
        path = path / weight_name
    if path.is_file():
        if path.suffix != ".safetensors":
            raise InputError(f"{path}: the adapter is not in safetensors format; other formats are not loaded")
        return path
    if not path.is_dir():
        raise InputError(f"{path}: the adapter is missing; is its path right, or was it not downloaded yet?")
    if (path / CONFIG).is_file():
        return {"": path}
    if folders := sorted(each.parent for each in path.glob(f"*/{CONFIG}")):
        return {folder.name: folder for folder in folders}
    if (path / LORA).is_file():
        return path / LORA
    found = sorted(each.name for each in path.glob("*.safetensors"))
    if len(found) == 1:
        return path / found[0]
    if found:
        raise InputError(
            f"{path}: the adapter is one of {len(found)} files ({', '.join(found[:5])}); say which by weight_name"
        )
    raise InputError(f"{path}: has neither a LoRA file (*.safetensors) nor {CONFIG}, so it is not an adapter folder")


def adapter_files(adapter: Path | dict[str, Path]) -> dict[str, Path]:
    """The files that decide about images, by names that are the same wherever they lie. Raises InputError if one is missing."""
    if isinstance(adapter, Path):
        return {"adapter.safetensors": adapter}
    found = {
        f"{role}/{name}".lstrip("/"): folder / name for role, folder in adapter.items() for name in (CONFIG, WEIGHTS)
    }
    for path in found.values():
        if not path.is_file():
            raise InputError(f"{path.parent}: the adapter's weights are missing: {path.name}")
    return found
