"""The last look before anything long starts: models, prompts, sample sizes, device."""

import argparse
import logging
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.features.check import check_experiment
from emudrift.data.prompts import load_prompts
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--prompts", required=True, help="prompts.parquet")
    parser.add_argument("--models", required=True, nargs="+", type=Path, help="what check_model wrote")
    parser.add_argument("--output", required=True, help="JSON to write")
    door.enter(check, parser.parse_args())


def check(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    models = [door.load_json(path) for path in arguments.models]
    write_json(arguments.output, check_experiment(experiment, load_prompts(arguments.prompts), models))
    logging.info("experiment %s is ready", experiment.config.name)


if __name__ == "__main__":
    main()
