"""The last check of an experiment as a whole before anything long starts."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from emudrift.config.annotated import all_columns, measures
from emudrift.config.experiment import Experiment
from emudrift.config.plugins import call_plugin
from emudrift.data.prompts import Prompt
from emudrift.data.text_area import check_installed
from emudrift.errors import InputError
from emudrift.features.image_sizes import point_out_sizes
from emudrift.features.statistics import load_statistics
from emudrift.generation.manifest import cut_words
from emudrift.generation.registry import cut_captions

logger = logging.getLogger(__name__)


class Checked(BaseModel):
    """checked.json.

    Attributes:
        prompts: how many there are.
        largest_n: N.
        sets: of every set of prompts how many prompts there are, by name; empty where there is one without a name.
        sizes: of images, in words, by model, and of the `reference`; none before version 0.3.
        captions_cut: number of captions that text encoders cut, by arm and encoder.
        models: digest of each.
    """

    prompts: int
    largest_n: int
    sets: dict[str, int] = Field({}, exclude_if=lambda sets: not sets)
    sizes: dict[str, str] = {}
    captions_cut: dict[str, dict[str, int]] = {}
    models: dict[str, str]


def check_experiment(
    experiment: Experiment, prompts: Mapping[str, Sequence[Prompt]], models: Sequence[dict[str, Any]]
) -> Checked:
    """Checks what only shows when everything is known, and points out images of different sizes.

    Args:
        prompts: of each set, by its name.
        models: what `check_model` found for each.

    Raises:
        InputError: more images are asked for than there are prompts, models split captions into different tokens, or an
            extractor's weights, checkpoint or ready statistics are wrong, or what a column of the prompts needs is not installed.
    """
    for name, view in experiment.sets.items():
        largest, there = max(view.config.sample_sizes), len(prompts[name])
        if largest > there:
            raise InputError(
                f"{experiment.config_path}: {f'prompts: {name}: ' * bool(name)}sample_sizes: N = {largest:,} is more than the "
                f"{there:,} prompts of the dataset; the largest possible N is {there:,}"
            )
    _compare_vocabularies(experiment, models)
    for extractor in experiment.config.extractors:
        if extractor.ready_statistics is not None:
            load_statistics(experiment.path(extractor.ready_statistics), extractor.dims)
        if extractor.plugin:
            call_plugin(f"extractor {extractor.name}", extractor.check, experiment)
        else:
            extractor.check(experiment)
    if any("text" in measures(wanted.columns) for wanted in all_columns(experiment)):
        check_installed()
    sizes: dict[str, dict[str, str]] = {}
    cut: dict[str, dict[str, int]] = {}
    for name, view in experiment.sets.items():
        used = prompts[name][: max(view.config.sample_sizes)]
        sizes[name] = point_out_sizes(view, used, models)
        cut |= point_out_cut_captions(view, used)
    main = experiment.main
    return Checked(
        prompts=len(prompts[main.prompt_set]),
        largest_n=max(main.config.sample_sizes),
        sets={name: len(each) for name, each in prompts.items() if name},
        sizes=sizes[main.prompt_set],
        captions_cut=cut,
        models={model["model"]: model["digest"] for model in models},
    )


def point_out_cut_captions(experiment: Experiment, prompts: Sequence[Prompt]) -> dict[str, dict[str, int]]:
    """Logs how many captions the text encoders of each arm cut; arms of the same model and suffix are counted once."""
    counted: dict[tuple[str, str], dict[str, int]] = {}
    found = {}
    for arm in experiment.arms():
        key = arm.family, str(arm.settings.get("suffix"))
        if key not in counted:
            counted[key] = cut_captions(experiment, arm, prompts)
            if counted[key]:
                logger.warning("%s: %s", arm.model, cut_words(counted[key], len(prompts)))
        if counted[key]:
            found[arm.name] = counted[key]
    return found


def _compare_vocabularies(experiment: Experiment, models: Sequence[dict[str, Any]]) -> None:
    """Checks that models with visual tokens have the same ones, and the same tokens for a caption, as the baseline."""
    vocabularies = {model["model"]: model["vocabulary"] for model in models if "vocabulary" in model}
    first = experiment.baseline if experiment.baseline in vocabularies else next(iter(vocabularies), "")
    for name, vocabulary in vocabularies.items():
        different = [key for key, value in vocabulary.items() if value != vocabularies[first][key]]
        if different:
            key = different[0]
            what = (
                "a caption has other tokens"
                if key == "probe"
                else f"{key} is {vocabulary[key]}, not {vocabularies[first][key]}"
            )
            raise InputError(
                f"{experiment.config_path}: models: {name}: its tokenizer is not that of {first} ({what}), so the two would get "
                "different prompts; copy the tokenizer's files from the checkpoint it was made from"
            )
