"""Compares every model with the baseline, paired by prompt."""

import argparse
from pathlib import Path

import door

from emudrift.evaluation.fid.comparison import compare
from emudrift.evaluation.fid.record import load_records
from emudrift.evaluation.tables import write_table
from emudrift.config.experiment import Experiment


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--output", required=True, type=Path, help="comparison.csv to write")
    door.enter(write_comparison, parser.parse_args())


def write_comparison(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    records = [record for record in load_records(experiment.fid_files()) if record.model not in experiment.floors]
    table = compare(records, experiment.baseline, experiment.model_names, experiment.config.note)
    write_table(table, arguments.output)


if __name__ == "__main__":
    main()
