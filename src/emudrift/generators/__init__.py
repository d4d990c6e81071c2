"""Who draws: one small interface that every generator meets, and the registry of them.

A generator is loaded once per job and asked for batches of prompts. A diffusers pipeline or an external command fits the
same two methods: `draw` may yield as slowly as it likes, and nothing else is asked of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from emudrift.config import Emu3Model
from emudrift.experiment import Arm, Experiment
from emudrift.prompts import Prompt


@dataclass(frozen=True)
class Drawing:
    """One finished image.

    Attributes:
        image: (height, width, 3) uint8, RGB.
        tokens: (h, w) integer codes of the visual tokenizer, for models that draw with tokens, else None.
    """

    image: np.ndarray
    tokens: np.ndarray | None = None


class Generator(Protocol):
    """Draws images for prompts. An image depends on its prompt, its seed and the arm's settings, on nothing else."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) in pixels that every image has, or None where images bring their own."""
        ...

    def draw(self, prompts: Sequence[Prompt]) -> Iterator[Drawing]:
        """Yields one drawing per prompt, in their order. The batch is the caller's choice."""
        ...

    def device(self) -> str:
        """The device in words, for the manifest."""
        ...


def check_model(experiment: Experiment, name: str, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Looks a model over without loading its weights into memory.

    Args:
        prompts: the rows that will be drawn (the folder generator needs an image for each).

    Returns:
        What the model is: `prompts` (how many were looked at), `digest` (sha256 over all files that can change a pixel),
        `files` and `revisions`.

    Raises:
        InputError: something is missing or does not fit.
    """
    model = experiment.model(name)
    if isinstance(model, Emu3Model):
        from emudrift.generators.emu3.checkpoint import check_emu3

        adapter = None if model.adapter is None else experiment.checkpoint_folder(model.adapter)
        found = check_emu3(experiment.checkpoint_folder(model.checkpoint), adapter)
    else:
        from emudrift.generators.folder import check_folder

        found = check_folder(experiment.path(model.images), _optional(experiment, model.table), prompts)
    return {"model": name, "generator": model.generator, "prompts": len(prompts)} | found


def is_unchanged(experiment: Experiment, recorded: dict[str, Any], prompts: Sequence[Prompt]) -> bool:
    """Whether a model's files are still those that `check_model` looked at.

    Files of the same size and time are taken as the same; others are hashed again, since a copy may have another time.

    Args:
        recorded: what `check_model` found.
        prompts: the prompt table.

    Raises:
        InputError: as `check_model`.
    """
    model = experiment.model(recorded["model"])
    if isinstance(model, Emu3Model):
        from emudrift.generators.emu3.checkpoint import have_same_times

        folders = {"checkpoint": experiment.checkpoint_folder(model.checkpoint)}
        if model.adapter is not None:
            folders["adapter"] = experiment.checkpoint_folder(model.adapter)
        if have_same_times(recorded["files"], folders):
            return True
    return check_model(experiment, model.name, prompts[: recorded["prompts"]])["digest"] == recorded["digest"]


def fixes_batch(arm: Arm) -> bool:
    """Whether the batch size belongs to an arm's images: in 16 bit it moves roundings, and so tokens."""
    return arm.settings.get("dtype", "float32") != "float32"


def load_generator(experiment: Experiment, arm: Arm, batch_size: int, captions: Sequence[str]) -> Generator:
    """Loads the generator of an arm.

    Args:
        batch_size: how many prompts at most will be drawn together.
        captions: of the whole prompt table; the longest of them sets the padding where the arm needs it fixed.

    Raises:
        InputError: the device is not there, or the model cannot be loaded.
    """
    model = experiment.model(arm.model)
    if isinstance(model, Emu3Model):
        from emudrift.generators.emu3 import Emu3Generator

        adapter = None if model.adapter is None else experiment.checkpoint_folder(model.adapter)
        fixed = (batch_size, captions) if fixes_batch(arm) else ()
        return Emu3Generator(arm.settings, experiment.checkpoint_folder(model.checkpoint), adapter, *fixed)
    from emudrift.generators.folder import FolderGenerator

    return FolderGenerator(experiment.path(model.images), _optional(experiment, model.table))


def _optional(experiment: Experiment, text: str | None) -> Path | None:
    return None if text is None else experiment.path(text)
