"""The record of a model that was validated, which everything after it reads."""

import logging

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.generation.registry import check_model
from emudrift.runtime.json_files import write_json

logger = logging.getLogger(__name__)


def record_model(experiment: Experiment, name: str) -> None:
    """Validates a model and writes its record.

    Args:
        name: of the record, from `Experiment.record_names`.

    Raises:
        InputError: as `check_model`.
    """
    view, model = experiment.of_record(name)
    prompts = load_prompts(view.paths.prompts) if view.model(model).checked_against_prompts else []
    found = check_model(view, model, prompts[: view.shards()[-1].stop])
    write_json(experiment.paths.model_record(name), found)
    logger.info("model %s is whole: %s", name, found["digest"][:12])
