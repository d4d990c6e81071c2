"""Scores an arm's answers to one variant of a task of understanding, question by question."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.understanding.files import write_scores


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--variant", required=True, help="full name, with its fingerprint")
    door.enter(score, parser.parse_args())


def score(arguments: argparse.Namespace) -> None:
    write_scores(Experiment.load(arguments.config), arguments.arm, arguments.variant)


if __name__ == "__main__":
    main()
