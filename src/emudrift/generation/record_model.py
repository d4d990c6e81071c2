"""The record of a model that was validated, which everything after it reads."""

import logging

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.generation.registry import check_model
from emudrift.runtime.json_files import write_json

logger = logging.getLogger(__name__)


def record_model(experiment: Experiment, name: str) -> None:
    """Validates a model and writes its record. Raises InputError as `check_model` does."""
    prompts = load_prompts(experiment.paths.prompts) if experiment.model(name).checked_against_prompts else []
    found = check_model(experiment, name, prompts[: experiment.shards()[-1].stop])
    write_json(experiment.paths.model_record(name), found)
    logger.info("model %s is whole: %s", name, found["digest"][:12])
