"""Compares every model with the baseline, paired by prompt."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.fid_tables import write_comparison_table


def main() -> None:
    door.enter(write_comparison, door.parser(__doc__).parse_args())


def write_comparison(arguments: argparse.Namespace) -> None:
    write_comparison_table(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
