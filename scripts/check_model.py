"""Looks a model over before anything long starts: files, shapes, adapter; for a folder, an image for every prompt."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.generation.registry import check_model
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--model", required=True, help="its name in the config")
    door.enter(check, parser.parse_args())


def check(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    prompts = (
        load_prompts(experiment.paths.prompts) if experiment.model(arguments.model).checked_against_prompts else []
    )
    found = check_model(experiment, arguments.model, prompts[: experiment.shards()[-1].stop])
    write_json(experiment.paths.model_record(arguments.model), found)
    logging.info("model %s is whole: %s", arguments.model, found["digest"][:12])


if __name__ == "__main__":
    main()
