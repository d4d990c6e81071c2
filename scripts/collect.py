"""Collects the distances of all arms, extractors and N in one table."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.fid.comparison import fid_table
from emudrift.evaluation.fid.record import load_records
from emudrift.evaluation.tables import write_table


def main() -> None:
    door.enter(collect, door.parser(__doc__).parse_args())


def collect(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    table = fid_table(load_records(experiment.fid_files()), experiment.model_names, experiment.config.note)
    write_table(table, experiment.paths.fid_table)


if __name__ == "__main__":
    main()
