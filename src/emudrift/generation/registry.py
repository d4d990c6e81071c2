"""Validates, recognises and loads the models of a config, whatever their generators (`config.models`)."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.model_settings import ModelSettings
from emudrift.config.plugins import call_plugin
from emudrift.config.registry import load_function
from emudrift.config.seeing import Variant
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.answers.interface import Answerer, AskedQuestion
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


def is_unchanged(
    experiment: Experiment, recorded: dict[str, Any], prompts: Sequence[Prompt], digest: str = "digest"
) -> bool:
    """Whether a model's files are still those that `check_model` recorded.

    Files of the same size and time are taken as the same; others are hashed again, since a copy may have another time.

    Args:
        recorded: what `check_model` found.
        prompts: the prompt table.
        digest: of the record, which decides.

    Raises:
        InputError: as `check_model`.
    """
    model = experiment.model(recorded["model"])
    same = bool(_call(model, model.is_unchanged, experiment, recorded["files"]))
    return same or check_model(experiment, model.name, prompts[: recorded["prompts"]])[digest] == recorded[digest]


def refuse_changed_files(
    experiment: Experiment, recorded: dict[str, Any], prompts: Sequence[Prompt], digest: str = "digest"
) -> None:
    """Raises InputError if a model's files are no longer those that `check_model` recorded; arguments as of `is_unchanged`."""
    if not is_unchanged(experiment, recorded, prompts, digest):
        made = "images" if digest == "digest" else "answers"
        record = experiment.paths.model_record(experiment.record_name(recorded["model"]))
        raise InputError(
            f"models: {recorded['model']}: its files have changed since check_model validated them. If this is intended, remove "
            f"{record} and run again: all {made} of this model are then regenerated"
        )


def cut_captions(experiment: Experiment, arm: Arm, prompts: Sequence[Prompt]) -> dict[str, int]:
    """How many captions each text encoder of an arm's model cuts, by encoder and length; those that cut none are left out.

    Raises:
        InputError: a tokenizer cannot be loaded.
    """
    model = experiment.model(arm.model)
    if not model.caption_counter:
        return {}
    captions = [prompt.caption for prompt in prompts]
    found: dict[str, int] = load_function(model.caption_counter)(experiment, model, arm.settings, captions)
    return found


def load_answerer(experiment: Experiment, arm: Arm, variant: Variant) -> AbstractContextManager[Answerer]:
    """What answers a variant's questions for an arm that sees, ready within the `with` block.

    Raises:
        InputError: the device or the pictures are not there, or the model cannot be loaded.
    """
    model = experiment.model(arm.model)
    found: AbstractContextManager[Answerer] = load_function(model.answerer)(experiment, model, arm, variant)
    return found


def check_questions(
    experiment: Experiment, arm: Arm, variant: Variant, questions: Sequence[AskedQuestion]
) -> dict[str, Any]:
    """Checks that an arm can be asked a variant's questions, without loading its weights.

    Returns:
        What was found, for the record; the number of questions at least.

    Raises:
        InputError: a prompt does not fit into the model's positions, or a picture is damaged.
    """
    model = experiment.model(arm.model)
    found = {"questions": len(questions)}
    if not model.question_checker:
        return found
    return found | load_function(model.question_checker)(experiment, model, arm, variant, questions)


def fixes_answer_batch(arm: Arm) -> bool:
    """Whether the batch size belongs to the answers of an arm that sees: in 16 bit it changes roundings."""
    return bool(arm.settings.get("dtype", "float32") != "float32")


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
