"""Who draws: one small interface that every generator meets, and the registry of them.

A generator is loaded once per job and asked for batches of prompts. There are two kinds: one draws images, and may be as
slow about it as it likes; the other draws visual tokens, which are kept before they are turned into images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from emudrift.config import Emu3Model, FolderModel, TokenizerModel
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

    @property
    def batch_size(self) -> int:
        """How many prompts `draw` is given at once."""
        ...

    def draw(self, prompts: Sequence[Prompt]) -> Iterator[Drawing]:
        """Yields one drawing per prompt, in their order."""
        ...

    def device(self) -> str:
        """The device in words, for the manifest."""
        ...


@dataclass(frozen=True)
class Batching:
    """How prompts are put together. In 16 bit both numbers move roundings, and so tokens: an arm then keeps them.

    Attributes:
        batch_size: images drawn together.
        prompt_length: tokens that every prompt is padded to.
    """

    batch_size: int
    prompt_length: int


@runtime_checkable
class TokenGenerator(Protocol):
    """Draws visual tokens first and turns them into pixels afterwards, so that the costly half is never done twice."""

    batching: Batching
    drawn_together: int
    """Images that were really drawn together in the last batch: fewer than `batching` says where memory ran out."""

    @property
    def size(self) -> tuple[int, int]: ...

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        """How prompts should be put together; `batch_size` None: as many as the device takes."""
        ...

    def codes(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Visual tokens, (batch, h, w) integers, one image per prompt."""
        ...

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Images (batch, height, width, 3) uint8 of visual tokens."""
        ...

    def device(self) -> str: ...


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
    if not isinstance(model, FolderModel):
        from emudrift.generators.emu3.checkpoint import check_emu3

        found = check_emu3(**experiment.checkpoint_folders(model))
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
    if not isinstance(model, FolderModel):
        from emudrift.generators.emu3.checkpoint import have_same_times

        if have_same_times(recorded["files"], experiment.checkpoint_folders(model)):
            return True
    return check_model(experiment, model.name, prompts[: recorded["prompts"]])["digest"] == recorded["digest"]


def fixes_batch(arm: Arm) -> bool:
    """Whether the batch size belongs to an arm's images: in 16 bit it moves roundings, and so tokens."""
    return arm.settings.get("dtype", "float32") != "float32"


def load_generator(experiment: Experiment, arm: Arm) -> Generator | TokenGenerator:
    """Loads the generator of an arm. Arms of one model that are loaded one after another share its weights.

    Raises:
        InputError: the device is not there, or the model cannot be loaded.
    """
    model = experiment.model(arm.model)
    if isinstance(model, Emu3Model):
        from emudrift.generators.emu3 import Emu3Generator, Emu3Weights

        folders = experiment.checkpoint_folders(model)
        places = folders["checkpoint"], folders.get("adapter"), folders.get("vq")
        if not (_loaded and _loaded[0].key == Emu3Weights.key_of(arm.settings, *places)):
            _loaded.clear()  # First, so that two models never need memory together.
            _loaded.append(Emu3Weights(arm.settings, *places))
        return Emu3Generator(arm.settings, _loaded[0])
    if isinstance(model, TokenizerModel):
        from emudrift.generators.tokenizer import TokenizerGenerator

        images = experiment.path(str(experiment.config.prompts.images))
        return TokenizerGenerator(arm.settings, experiment.checkpoint_folders(model)["checkpoint"], images)
    from emudrift.generators.folder import FolderGenerator

    return FolderGenerator(experiment.path(model.images), _optional(experiment, model.table))


_loaded: list[Any] = []
"""The Emu3Weights that this process loaded last, if any."""


def _optional(experiment: Experiment, text: str | None) -> Path | None:
    return None if text is None else experiment.path(text)
