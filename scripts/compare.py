"""Compares every model with the baseline, paired by prompt."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.fid.comparison import compare
from emudrift.evaluation.fid.record import load_records
from emudrift.evaluation.tables import write_table


def main() -> None:
    door.enter(write_comparison, door.parser(__doc__).parse_args())


def write_comparison(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    records = [record for record in load_records(experiment.fid_files()) if experiment.model(record.model).generates]
    table = compare(records, experiment.baseline, experiment.model_names, experiment.config.note, experiment.margins)
    write_table(table, experiment.paths.comparison_table)


if __name__ == "__main__":
    main()
