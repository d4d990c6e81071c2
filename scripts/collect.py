"""Collects the distances of all arms, extractors and N in one table."""

import argparse
from pathlib import Path

import door

from emudrift.evaluation.fid.comparison import fid_table
from emudrift.evaluation.fid.record import load_records
from emudrift.evaluation.tables import write_table
from emudrift.config.experiment import Experiment


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--output", required=True, type=Path, help="fid.csv to write")
    door.enter(collect, parser.parse_args())


def collect(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    table = fid_table(load_records(experiment.fid_files()), experiment.model_names, experiment.config.note)
    write_table(table, arguments.output)


if __name__ == "__main__":
    main()
