"""The last check of an experiment as a whole before anything long starts."""

from collections.abc import Sequence
from typing import Any

from emudrift.config.experiment import Experiment
from emudrift.config.plugins import call_plugin
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.features.statistics import load_statistics


def check_experiment(
    experiment: Experiment, prompts: Sequence[Prompt], models: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Checks what only shows when everything is known.

    Args:
        models: what `check_model` found for each.

    Raises:
        InputError: more images are asked for than there are prompts, or an extractor's weights, checkpoint or ready statistics
            are wrong.
    """
    largest = max(experiment.config.sample_sizes)
    if largest > len(prompts):
        raise InputError(
            f"{experiment.config_path}: sample_sizes: N = {largest:,} is more than the {len(prompts):,} prompts of the dataset; "
            f"the largest possible N is {len(prompts):,}"
        )
    for extractor in experiment.config.extractors:
        if extractor.ready_statistics is not None:
            load_statistics(experiment.path(extractor.ready_statistics), extractor.dims)
        if extractor.plugin:
            call_plugin(f"extractor {extractor.name}", extractor.check, experiment)
        else:
            extractor.check(experiment)
    return {
        "prompts": len(prompts),
        "largest_n": largest,
        "models": {model["model"]: model["digest"] for model in models},
    }
