"""Collects what the judge found into prompt_following.csv, and its own error into judge_error.csv."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.following.tables import write_following_tables


def main() -> None:
    door.enter(collect, door.parser(__doc__).parse_args())


def collect(arguments: argparse.Namespace) -> None:
    write_following_tables(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
