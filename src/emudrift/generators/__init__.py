"""Who draws: one small interface that every generator meets, and the registry of them.

A generator is loaded once per job. Most are asked for batches of prompts, and are of two kinds: one draws images, and may be as
slow about it as it likes; the other draws visual tokens, which are kept before they are turned into images. A third kind is
asked once for all that is missing of a shard.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from emudrift.config import Emu3Model, FolderModel, TokenizerModel
from emudrift.experiment import Arm, Experiment
from emudrift.generators.model_files import are_unchanged
from emudrift.model_settings import CommandModel, DiffusersModel
from emudrift.prompts import Prompt


@dataclass(frozen=True)
class Drawing:
    """One finished image.

    Attributes:
        image: (height, width, 3) uint8, RGB.
        tokens: (h, w) integer codes of the visual tokenizer, for models that draw with tokens, else None.
        flagged: a safety checker took offence and put a black image in its place.
        drawn_together: how many images were in the batch, where that can move a pixel, else None.
    """

    image: np.ndarray
    tokens: np.ndarray | None = None
    flagged: bool = False
    drawn_together: int | None = None


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
class BatchedGenerator(Protocol):
    """A generator whose batches are planned, since they can move roundings."""

    batching: Batching
    drawn_together: int
    """Images that were really drawn together in the last batch: fewer than `batching` says where memory ran out."""

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        """How prompts should be put together; `batch_size` None: as many as the device takes."""
        ...


@runtime_checkable
class TokenGenerator(BatchedGenerator, Protocol):
    """Draws visual tokens first and turns them into pixels afterwards, so that the costly half is never done twice."""

    @property
    def size(self) -> tuple[int, int]: ...

    def codes(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Visual tokens, (batch, h, w) integers, one image per prompt."""
        ...

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Images (batch, height, width, 3) uint8 of visual tokens."""
        ...

    def device(self) -> str: ...


@runtime_checkable
class ShardGenerator(Protocol):
    """Draws all that is missing of a shard at once, in whatever order it likes."""

    @property
    def size(self) -> tuple[int, int]: ...

    def draw_all(self, prompts: Sequence[Prompt], watch: Callable[[], None]) -> Iterator[tuple[Prompt, Drawing]]:
        """Yields each prompt with its drawing; calls `watch` every now and then, which may raise `Stopped`."""
        ...

    def device(self) -> str: ...


AnyGenerator = Generator | TokenGenerator | ShardGenerator


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
    if isinstance(model, FolderModel):
        from emudrift.generators.folder import check_folder

        found = check_folder(experiment.path(model.images), _optional(experiment, model.table), prompts)
    elif isinstance(model, CommandModel):
        from emudrift.generators.command import check_command

        found = check_command(*_command(experiment, model))
    elif isinstance(model, DiffusersModel):
        from emudrift.generators.pipeline_check import check_pipeline

        found = check_pipeline(
            _folder(experiment, model), model.variant, model.custom_pipeline, model.trust_remote_code
        )
    else:
        from emudrift.generators.emu3.checkpoint import check_emu3

        found = check_emu3(**experiment.checkpoint_folders(model))
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
    model, files = experiment.model(recorded["model"]), recorded["files"]
    if isinstance(model, CommandModel):
        from emudrift.generators.command import command_files

        same = are_unchanged(files["command"], command_files(*_command(experiment, model)))
    elif isinstance(model, DiffusersModel):
        from emudrift.generators.pipeline_check import scan_pipeline

        now = scan_pipeline(_folder(experiment, model), model.variant, model.trust_remote_code)
        same = are_unchanged(files["checkpoint"], now)
    elif isinstance(model, FolderModel):
        same = False
    else:
        from emudrift.generators.emu3.checkpoint import have_same_times

        same = have_same_times(files, experiment.checkpoint_folders(model))
    return same or check_model(experiment, model.name, prompts[: recorded["prompts"]])["digest"] == recorded["digest"]


def fixes_batch(arm: Arm) -> bool:
    """Whether the batch size belongs to an arm's images: in 16 bit it moves roundings, and so tokens.

    Diffusion has no tokens that would absorb roundings: there it can move the last bit of a pixel in float32, too.
    """
    return arm.settings.get("dtype", "float32") != "float32" or arm.settings["generator"] == "diffusers"


def load_generator(experiment: Experiment, arm: Arm) -> AnyGenerator:
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
    if isinstance(model, DiffusersModel):
        from emudrift.generators.diffusers import DiffusersGenerator

        return DiffusersGenerator(arm.settings, _folder(experiment, model), model.trust_remote_code)
    if isinstance(model, CommandModel):
        from emudrift.generators.command import CommandGenerator

        return CommandGenerator(arm.settings, model.name)
    from emudrift.generators.folder import FolderGenerator

    return FolderGenerator(experiment.path(model.images), _optional(experiment, model.table))


_loaded: list[Any] = []
"""The Emu3Weights that this process loaded last, if any."""


def _optional(experiment: Experiment, text: str | None) -> Path | None:
    return None if text is None else experiment.path(text)


def _folder(experiment: Experiment, model: DiffusersModel) -> Path:
    return experiment.checkpoint_folders(model)["checkpoint"]


def _command(experiment: Experiment, model: CommandModel) -> tuple[list[str], list[Path]]:
    return experiment.command_words(model), [experiment.path(file) for file in model.files]
