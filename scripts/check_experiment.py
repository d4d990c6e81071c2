"""The last look before anything long starts: models, prompts, sample sizes, device."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.generation.model_files import load_model_record
from emudrift.features.check import check_experiment
from emudrift.runtime.json_files import write_json


def main() -> None:
    door.enter(check, door.parser(__doc__).parse_args())


def check(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    paths = experiment.paths
    models = [load_model_record(paths.model_record(name)) for name in experiment.model_names]
    write_json(paths.checked, check_experiment(experiment, load_prompts(paths.prompts), models))
    logging.info("experiment %s is ready", experiment.config.name)


if __name__ == "__main__":
    main()
