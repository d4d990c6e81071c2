"""Scores the judge's answers about an arm's pictures: one number for each prompt, and what became of every question."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.following.score import write_following


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint; or check: the judge's own error")
    door.enter(score, parser.parse_args())


def score(arguments: argparse.Namespace) -> None:
    write_following(Experiment.load(arguments.config), arguments.arm)


if __name__ == "__main__":
    main()
