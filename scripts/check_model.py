"""Looks a model over before anything long starts: files, shapes, adapter; for a folder, an image for every prompt."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.generation.record_model import record_model


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--model", required=True, help="its name in the config")
    door.enter(check, parser.parse_args())


def check(arguments: argparse.Namespace) -> None:
    record_model(Experiment.load(arguments.config), arguments.model)


if __name__ == "__main__":
    main()
