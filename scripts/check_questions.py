"""Checks that a model can be asked all questions of all tasks: its positions hold every prompt, with pictures and examples."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.generation.answers.questions import load_asked
from emudrift.generation.registry import check_questions
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="of a model that sees: full name, with its fingerprint")
    door.enter(check, parser.parse_args())


def check(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    understanding = experiment.understanding
    arm, found = understanding.arm(arguments.arm), {}
    for variant in understanding.variants():
        found[variant.label] = check_questions(experiment, arm, variant, load_asked(experiment, variant))
    write_json(experiment.paths.checked_questions(arm.name), found)
    logging.info("%s can be asked all questions", arm.label)


if __name__ == "__main__":
    main()
