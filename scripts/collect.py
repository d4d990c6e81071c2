"""Collects the distances of all arms, extractors and N in one table."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.fid_tables import write_fid_table


def main() -> None:
    door.enter(collect, door.parser(__doc__).parse_args())


def collect(arguments: argparse.Namespace) -> None:
    write_fid_table(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
