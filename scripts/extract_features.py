"""Extracts the features of an arm's images, of all shards in a range of rows; those that exist are kept."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.features.extract import extract_features


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--rows", required=True, help="range of prompt rows of whole shards, such as 000000-005000")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    arm, rows = experiment.arm(arguments.arm).name, RowRange.parse(arguments.rows)
    extract_features(experiment, arguments.extractor, arm, rows, arguments.batch_size)


if __name__ == "__main__":
    main()
