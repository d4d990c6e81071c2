"""Collects how models differ in each group of prompts, and how groups differ from the other prompts, in one table."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.groups.table import group_table
from emudrift.evaluation.tables import write_table


def main() -> None:
    door.enter(collect, door.parser(__doc__).parse_args())


def collect(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    write_table(group_table(experiment), experiment.paths.group_table)


if __name__ == "__main__":
    main()
