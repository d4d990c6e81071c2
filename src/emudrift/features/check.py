"""The last look at an experiment as a whole before anything long starts."""

from collections.abc import Sequence
from typing import Any

from emudrift.config.experiment import Experiment
from emudrift.config.extractors import Inception
from emudrift.config.models import FolderModel
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.features.statistics import load_statistics
from emudrift.generation.folder import FolderGenerator


def check_experiment(
    experiment: Experiment, prompts: Sequence[Prompt], models: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Checks what only shows when everything is known.

    Args:
        models: what `check_model` found for each.

    Raises:
        InputError: more images are asked for than there are prompts, a folder lacks images of them, or an extractor's weights,
            checkpoint or ready statistics are wrong.
    """
    largest = max(experiment.config.sample_sizes)
    if largest > len(prompts):
        raise InputError(
            f"{experiment.config_path}: sample_sizes: N = {largest:,} is more than the {len(prompts):,} prompts of the dataset; "
            f"the largest possible N is {len(prompts):,}"
        )
    for model in experiment.config.models:
        if isinstance(model, FolderModel):
            table = None if model.table is None else experiment.path(model.table)
            FolderGenerator(experiment.path(model.images), table).find_all(prompts[: experiment.shards()[-1].stop])
    for extractor in experiment.config.extractors:
        if extractor.reference_statistics is not None:
            load_statistics(experiment.path(extractor.reference_statistics), extractor.dims)
        if not isinstance(extractor, Inception):
            from emudrift.features.checkpoint import check_pretrained, check_tokenizer  # imports torch

            folder = experiment.checkpoint_folder(extractor.checkpoint)
            check_pretrained(folder, extractor.name, extractor.dims)
            if extractor.name == "clip" and "clip_score" in experiment.config.metrics:
                check_tokenizer(folder)
            continue
        weights = experiment.weights(extractor)
        if weights is not None:
            from emudrift.features.inception import check_weights  # imports torch

            check_weights(weights, extractor.sha256)
    return {
        "prompts": len(prompts),
        "largest_n": largest,
        "models": {model["model"]: model["digest"] for model in models},
    }
