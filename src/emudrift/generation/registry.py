"""Validates, recognises and loads the models of a config, whatever their generators (`config.models`)."""

from collections.abc import Sequence
from typing import Any

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.model_settings import ModelSettings
from emudrift.config.plugins import call_plugin
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.interface import AnyGenerator, ShardGenerator, TokenGenerator
from emudrift.generation.plugin_generator import PluginGenerator


def check_model(experiment: Experiment, name: str, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Validates a model without loading its weights into memory.

    Args:
        prompts: the rows that images will be generated for (the folder generator needs an image for each).

    Returns:
        What the model is: `prompts` (how many were looked at), `digest` (sha256 over all files that can change a pixel),
        `files` and `revisions`.

    Raises:
        InputError: something is missing or does not fit.
    """
    model = experiment.model(name)
    found = _call(model, model.check, experiment, prompts)
    return {"model": name, "generator": model.kind, "prompts": len(prompts)} | found


def is_unchanged(experiment: Experiment, recorded: dict[str, Any], prompts: Sequence[Prompt]) -> bool:
    """Whether a model's files are still those that `check_model` recorded.

    Files of the same size and time are taken as the same; others are hashed again, since a copy may have another time.

    Args:
        recorded: what `check_model` found.
        prompts: the prompt table.

    Raises:
        InputError: as `check_model`.
    """
    model = experiment.model(recorded["model"])
    same = bool(_call(model, model.is_unchanged, experiment, recorded["files"]))
    return same or check_model(experiment, model.name, prompts[: recorded["prompts"]])["digest"] == recorded["digest"]


def fixes_batch(experiment: Experiment, arm: Arm) -> bool:
    """Whether the batch size belongs to an arm's images: in 16 bit it changes roundings, and so tokens.

    Diffusion has no tokens that would absorb roundings: there it can change the last bit of a pixel in float32, too.
    """
    return arm.settings.get("dtype", "float32") != "float32" or experiment.model(arm.model).batch_changes_pixels


def load_generator(experiment: Experiment, arm: Arm) -> AnyGenerator:
    """Loads the generator of an arm. Arms of one model that are loaded one after another share its weights.

    Raises:
        InputError: the device is not there, or the model cannot be loaded.
    """
    model = experiment.model(arm.model)
    found: AnyGenerator = _call(model, model.load, experiment, arm)
    if not model.plugin:
        return found
    if isinstance(found, TokenGenerator | ShardGenerator):
        raise InputError(f"plugins: generator {model.kind}: is of a kind that only built-in generators have")
    return PluginGenerator(model.kind, found)


def _call(model: ModelSettings, function: Any, *arguments: Any) -> Any:
    """What goes wrong in a user's own generator becomes one error."""
    return call_plugin(f"generator {model.kind}", function, *arguments) if model.plugin else function(*arguments)
