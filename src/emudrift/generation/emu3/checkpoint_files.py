"""The files of an Emu3 checkpoint or adapter: config, weights, and the names that weights have had."""

import json
import re
from pathlib import Path
from typing import Any

from emudrift.errors import InputError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

# Checkpoints written before transformers 5 (such as BAAI/Emu3-Gen-hf), and adapters trained with transformers up to 4.51, use
# other names; transformers applies the same mapping when it loads checkpoints (conversion_mapping.py).
_RENAMED = (
    ("text_model.lm_head.", "lm_head."),
    ("text_model.model.", "model.text_model."),
    ("text_model.", "model.text_model."),
    ("vqmodel.", "model.vqmodel."),
)
OLD_NAMES = {f"^{re.escape(old)}": new for old, new in _RENAMED}
"""The same as regular expressions."""


def renamed(name: str) -> str:
    """Today's name of a weight."""
    return next((new + name.removeprefix(old) for old, new in _RENAMED if name.startswith(old)), name)


def read_json(folder: Path, name: str, what: str) -> dict[str, Any]:
    """Loads a JSON object of a folder. Raises InputError if folder or file is missing, or it is something else."""
    path = folder / name
    if not folder.is_dir():
        raise InputError(f"{folder}: the {what} folder is missing; is its path right, or was it not downloaded yet?")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder}: has no {name}, so it is no {what} folder") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: contains {type(content).__name__}, not a JSON object; copy or download it again")
    return content


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint. Raises InputError if one is missing, or if there are two sets of them."""
    if (folder / INDEX).exists():
        if (folder / SINGLE).exists():
            raise InputError(
                f"{folder}: has both {SINGLE} and {INDEX}, and different programs load different ones; remove the one that does "
                "not belong to this checkpoint"
            )
        shards = read_json(folder, INDEX, "checkpoint").get("weight_map")
        if not isinstance(shards, dict):
            raise InputError(f"{folder / INDEX}: has no weight_map; copy or download it again")
        files = [folder / str(name) for name in sorted(set(shards.values()))]
    else:
        files = [folder / SINGLE]
    missing = [path.name for path in files if not path.is_file()]
    if missing or not files:
        raise InputError(
            f"{folder}: the weights are missing: {', '.join(missing) or 'an index without files'} "
            "(expected model.safetensors, or shards and their model.safetensors.index.json)"
        )
    return files
