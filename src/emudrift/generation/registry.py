"""The registry of generators: how a model is checked, recognised and loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.models import CommandModel, DiffusersModel, Emu3Model, FolderModel, TokenizerModel
from emudrift.data.prompts import Prompt
from emudrift.generation.interface import AnyGenerator
from emudrift.generation.model_files import are_unchanged


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
        from emudrift.generation.folder import check_folder

        found = check_folder(experiment.path(model.images), _optional(experiment, model.table), prompts)
    elif isinstance(model, CommandModel):
        from emudrift.generation.command import check_command

        found = check_command(*_command(experiment, model))
    elif isinstance(model, DiffusersModel):
        from emudrift.generation.diffusers.check import check_pipeline

        found = check_pipeline(
            _folder(experiment, model), model.variant, model.custom_pipeline, model.trust_remote_code
        )
    else:
        from emudrift.generation.emu3.checkpoint import check_emu3

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
        from emudrift.generation.command import command_files

        same = are_unchanged(files["command"], command_files(*_command(experiment, model)))
    elif isinstance(model, DiffusersModel):
        from emudrift.generation.diffusers.check import scan_pipeline

        now = scan_pipeline(_folder(experiment, model), model.variant, model.trust_remote_code)
        same = are_unchanged(files["checkpoint"], now)
    elif isinstance(model, FolderModel):
        same = False
    else:
        from emudrift.generation.emu3.checkpoint import have_same_times

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
        from emudrift.generation.emu3.generator import Emu3Generator, Emu3Weights

        folders = experiment.checkpoint_folders(model)
        places = folders["checkpoint"], folders.get("adapter"), folders.get("vq")
        if not (_loaded and _loaded[0].key == Emu3Weights.key_of(arm.settings, *places)):
            _loaded.clear()  # First, so that two models never need memory together.
            _loaded.append(Emu3Weights(arm.settings, *places))
        return Emu3Generator(arm.settings, _loaded[0])
    if isinstance(model, TokenizerModel):
        from emudrift.generation.tokenizer import TokenizerGenerator

        images = experiment.path(str(experiment.config.prompts.images))
        return TokenizerGenerator(arm.settings, experiment.checkpoint_folders(model)["checkpoint"], images)
    if isinstance(model, DiffusersModel):
        from emudrift.generation.diffusers.generator import DiffusersGenerator

        return DiffusersGenerator(arm.settings, _folder(experiment, model), model.trust_remote_code)
    if isinstance(model, CommandModel):
        from emudrift.generation.command import CommandGenerator

        return CommandGenerator(arm.settings, model.name)
    from emudrift.generation.folder import FolderGenerator

    return FolderGenerator(experiment.path(model.images), _optional(experiment, model.table))


_loaded: list[Any] = []
"""The Emu3Weights that this process loaded last, if any."""


def _optional(experiment: Experiment, text: str | None) -> Path | None:
    return None if text is None else experiment.path(text)


def _folder(experiment: Experiment, model: DiffusersModel) -> Path:
    return experiment.checkpoint_folders(model)["checkpoint"]


def _command(experiment: Experiment, model: CommandModel) -> tuple[list[str], list[Path]]:
    return experiment.command_words(model), [experiment.path(file) for file in model.files]
