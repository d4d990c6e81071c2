"""Existing images, for example from a closed model or another team, matched to prompts by file name."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.models import FolderModel
from emudrift.data.csv_files import read_csv
from emudrift.data.image_io import load_image
from emudrift.data.image_sources import IMAGE_ENDINGS
from emudrift.data.input_files import inside, refuse_no_file
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.interface import GeneratedImage


class FolderGenerator:
    """Serves the images of a folder as if they were generated.

    An image belongs to a prompt if its name without suffix is the prompt_id, the stem of the dataset image's file name, or
    the image id; with a table, if the table assigns it.
    """

    size = None
    batch_size = 32

    def __init__(self, images: Path, table: Path | None) -> None:
        self.images, self.table = images, table
        if not images.is_dir():
            raise InputError(f"{images}: models: images is not a folder")
        self._files = _by_table(images, table) if table else _by_name(images)

    def find(self, prompt: Prompt) -> Path | None:
        names = [prompt.prompt_id]
        if self.table is None:
            names += [Path(prompt.file_name).stem, str(prompt.image_id)]
        return next((self._files[name] for name in names if name in self._files), None)

    def find_all(self, prompts: Sequence[Prompt]) -> list[Path]:
        """The image of every prompt. Raises InputError, listing prompts without an image."""
        found = [(prompt, self.find(prompt)) for prompt in prompts]
        missing = [prompt.prompt_id for prompt, path in found if path is None]
        if missing:
            rows = f"rows {prompts[0].row} to {prompts[-1].row}"
            listed = ", ".join(missing[:20]) + (f" and {len(missing) - 20:,} more" if len(missing) > 20 else "")
            raise InputError(
                f"{self.table or self.images}: no image for {len(missing):,} of {len(prompts):,} prompts ({rows}): {listed}. "
                "Name each image <prompt_id>.png or like the dataset's file, or give models: table with prompt_id,file_name. "
                "If more rows are requested than you have, choose a shard_size that divides the largest of sample_sizes"
            )
        return [path for _, path in found if path is not None]

    def listing(self) -> str:
        """sha256 over which file belongs to which name, with the size and modification time of each, without reading them."""
        digest = hashlib.sha256()
        for name, path in sorted(self._files.items()):
            stat = path.stat()
            digest.update(f"{name} {path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def generate(self, prompts: Sequence[Prompt]) -> Iterator[GeneratedImage]:
        for path in self.find_all(prompts):
            yield GeneratedImage(np.asarray(load_image(path)))

    def device(self) -> str:
        return "none (existing images)"


def check_folder(images: Path, table: Path | None, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Finds, decodes and hashes the image of every prompt.

    Returns:
        As `check_model`; and `sizes`: the smallest and the largest width and height.

    Raises:
        InputError: an image is missing or damaged.
    """
    digest, folder = hashlib.sha256(), FolderGenerator(images, table)
    listing = folder.listing()
    sizes = []
    for path, prompt in zip(folder.find_all(prompts), prompts, strict=True):
        sizes.append(load_image(path).size)
        digest.update(f"{prompt.prompt_id} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    files = {"images": len(prompts), "listing": listing}
    extremes = [[end(side) for side in zip(*sizes, strict=True)] for end in (min, max)] if sizes else []
    return {"digest": digest.hexdigest(), "files": files, "revisions": {}, "sizes": extremes}


def _by_name(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_ENDINGS:
            continue
        if path.stem in files:
            raise InputError(f"{folder}: {files[path.stem].name} and {path.name} have the same name; keep one of them")
        files[path.stem] = path
    return files


def _by_table(folder: Path, table: Path) -> dict[str, Path]:
    refuse_no_file(table, "models: table needs a CSV file with prompt_id and file_name")
    columns, rows = read_csv(table)
    if not {"prompt_id", "file_name"} <= set(columns):
        raise InputError(f"{table}: needs the columns prompt_id and file_name; it has {', '.join(map(repr, columns))}")
    files: dict[str, Path] = {}
    for where, row in rows:
        path = Path(folder, inside(row["file_name"], where)).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise InputError(f"{where}: {row['file_name']!r} is a link to a file outside {folder}")
        if not path.is_file():
            raise InputError(f"{where}: {row['file_name']!r} is not a file in {folder}")
        if row["prompt_id"] in files:
            raise InputError(f"{where}: prompt_id {row['prompt_id']!r} appears twice")
        files[row["prompt_id"]] = path
    return files


# --- as an entry of the registry ---


def check_model(experiment: Experiment, model: FolderModel, prompts: Sequence[Prompt]) -> dict[str, Any]:
    return check_folder(*_places(experiment, model), prompts)


def model_is_unchanged(experiment: Experiment, model: FolderModel, files: dict[str, Any]) -> bool:
    return FolderGenerator(*_places(experiment, model)).listing() == files.get("listing")


def load_model(experiment: Experiment, model: FolderModel, arm: Arm) -> FolderGenerator:
    return FolderGenerator(*_places(experiment, model))


def _places(experiment: Experiment, model: FolderModel) -> tuple[Path, Path | None]:
    folder, table = model.folder(experiment.config), model.table_of(experiment.config)
    assert folder is not None  # Of `FolderModel.scales`.
    return experiment.path(folder), None if table is None else experiment.path(table)
