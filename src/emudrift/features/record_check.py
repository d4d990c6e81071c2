"""The record of an experiment that was checked as a whole."""

import logging

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.features.check import check_experiment
from emudrift.generation.model_files import load_model_record
from emudrift.runtime.json_files import write_json

logger = logging.getLogger(__name__)


def record_check(experiment: Experiment) -> None:
    """Checks an experiment of validated models, and writes what was found. Raises InputError as `check_experiment` does."""
    paths = experiment.paths
    models = [load_model_record(paths.model_record(name)) for name in experiment.model_names]
    prompts = {name: load_prompts(view.paths.prompts) for name, view in experiment.sets.items()}
    write_json(paths.checked, check_experiment(experiment, prompts, models).model_dump())
    logger.info("experiment %s is ready", experiment.config.name)
