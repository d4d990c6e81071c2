"""The files of a model: hashed once, and later recognised by size and modification time without reading them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from emudrift.config.experiment import Experiment
from emudrift.config.model_settings import ModelSettings
from emudrift.config.paths import download_record
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.weight_files import hash_weights
from emudrift.runtime.json_files import load_record

Files = dict[str, dict[str, Any]]


class ModelRecord(BaseModel):
    """What `check_model` found: what every model has, and more that depends on its generator.

    Attributes:
        prompts: how many were looked at.
        digest: sha256 over all files that can change a pixel.
        revisions: commit of each downloaded part, by role.
    """

    model_config = ConfigDict(extra="allow")

    model: str
    generator: str
    prompts: int
    digest: str
    files: dict[str, Any]
    revisions: dict[str, str | None]


class Download(BaseModel):
    """What the rule that downloads a model writes next to it."""

    commit: str | None = None


def load_model_record(path: Path) -> dict[str, Any]:
    """What `check_model` found for a model. Raises InputError if the file is missing or invalid."""
    remedy = "remove it and run again: the model is checked again, and images of the same files are kept"
    return load_record(path, ModelRecord, remedy).model_dump()


def hash_files(paths: Mapping[str, Path], weights: bool = False) -> Files:
    """Name to size in bytes, modification time and sha256 of each file.

    Args:
        weights: whether safetensors files are weights, which must be finite.

    Raises:
        InputError: a file cannot be read, or a weight is NaN or infinite.
    """
    files = {}
    for name, path in paths.items():
        try:
            if weights and path.suffix == ".safetensors":
                sha256 = hash_weights(path)
            else:
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
        files[name] = _size_and_time(path) | {"sha256": sha256}
    return files


def digest_of(files: Files) -> str:
    """sha256 over names and contents."""
    return hashlib.sha256(
        json.dumps({name: file["sha256"] for name, file in files.items()}, sort_keys=True).encode()
    ).hexdigest()


def are_unchanged(recorded: Files, paths: Mapping[str, Path]) -> bool:
    """Whether names, sizes and modification times are those that `hash_files` recorded. (Copies may have other times.)"""
    then = {name: {key: file[key] for key in ("bytes", "mtime_ns")} for name, file in recorded.items()}
    return then == {name: _size_and_time(path) for name, path in paths.items()}


def _size_and_time(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def hub_commit(folder: Path) -> str | None:
    """The hub commit that was downloaded into a folder, or None if it was not created by the download rule."""
    record = download_record(folder)
    return load_record(record, Download, "remove it and run again").commit if record.is_file() else None


# --- for user-defined generators ---


def check_files(experiment: Experiment, model: ModelSettings, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Hashes the files that a model names (`extra_files`); its plugin is already part of the fingerprint."""
    hashed = hash_files(model.extra_files(experiment))
    return {"digest": digest_of(hashed), "files": {"extra": hashed}, "revisions": {}}


def files_are_unchanged(experiment: Experiment, model: ModelSettings, files: dict[str, Any]) -> bool:
    return are_unchanged(files["extra"], model.extra_files(experiment))
