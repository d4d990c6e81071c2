"""Collects what all models see in one table, and the differences between models in another."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.understanding.comparison import write_understanding_tables


def main() -> None:
    door.enter(collect, door.parser(__doc__).parse_args())


def collect(arguments: argparse.Namespace) -> None:
    write_understanding_tables(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
