"""Collects the metrics beyond FID of all arms in one table, and their differences between models in another."""

import argparse
from pathlib import Path

import door

from emudrift.evaluation.tables import write_table
from emudrift.config.experiment import Experiment
from emudrift.evaluation.metrics.comparison import difference_table, metric_table
from emudrift.evaluation.metrics.record import load_metric_files


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--metrics", required=True, type=Path, help="metrics.csv to write")
    parser.add_argument("--differences", required=True, type=Path, help="metric_differences.csv to write")
    door.enter(collect, parser.parse_args())


def collect(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    records, note = load_metric_files(experiment.metric_files()), experiment.config.note
    write_table(metric_table(records, note), arguments.metrics)
    drawing = [record for record in records if record.model not in experiment.floors]
    write_table(difference_table(drawing, experiment.baseline, note), arguments.differences)


if __name__ == "__main__":
    main()
