"""Reads the scores that another program gave to the images, checks them, and writes one file per arm."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.metrics.scores import import_scores


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--score", required=True, help="its name under scores: in the config")
    door.enter(read, parser.parse_args())


def read(arguments: argparse.Namespace) -> None:
    import_scores(Experiment.load(arguments.config), arguments.score)


if __name__ == "__main__":
    main()
