"""The checkpoints that a training run saved on its way: found once, and written to the list that a config names."""

import re
from pathlib import Path

import yaml

from emudrift.config.adapters import Checkpoints, ListedCheckpoint
from emudrift.config.base import locate
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import write_bytes_atomically


def scan_checkpoints(checkpoints: Checkpoints, config_path: Path) -> list[ListedCheckpoint]:
    """The adapters of a run, in the order of their steps, which are the last digits of their folders' names.

    Raises:
        InputError: there is none, one is no PEFT adapter, or two have the same step.
    """
    parent, _, pattern = checkpoints.path.rpartition("/")
    folder = locate(checkpoints.path, config_path).parent
    found = sorted(path for path in folder.glob(pattern) if path.is_dir())
    if not found:
        raise InputError(f"checkpoints: path: no folder matches {folder / pattern}")
    listed: dict[int, ListedCheckpoint] = {}
    for path in found:
        if not any((path / name).is_file() for name in ("adapter_config.json", "pytorch_lora_weights.safetensors")):
            raise InputError(
                f"{path}: adapter_config.json is missing: a PEFT adapter is needed (of a pipeline also "
                "pytorch_lora_weights.safetensors), and not a whole model"
            )
        digits = re.search(r"(\d+)\D*$", path.name)
        if digits is None:
            raise InputError(f"{path}: its name has no digits that say its training step, as checkpoint-200 has")
        step = int(digits[1])
        if step in listed:
            raise InputError(f"{path}: step {step} is there twice; the other one is {listed[step].path}")
        listed[step] = ListedCheckpoint(step=step, path=f"{parent}/{path.name}" if parent else path.name)
    return [listed[step] for step in sorted(listed)]


def write_list(checkpoints: Checkpoints, config_path: Path) -> tuple[Path, int]:
    """Writes the list of a run's checkpoints. Returns where it is, and how many there are. Raises InputError as the scan does."""
    found = scan_checkpoints(checkpoints, config_path)
    lines = yaml.safe_dump(
        [each.model_dump() for each in found], default_flow_style=None, sort_keys=False, width=10_000
    )
    head = f"# {checkpoints.path}, as it was when this list was written; remove lines of checkpoints that are not wanted.\n"
    path = locate(checkpoints.list, config_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, (head + lines).encode())
    return path, len(found)
