"""Mean and covariance of the reference's features; or ready statistics, validated."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.features.reference import write_reference_statistics


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument(
        "--extractor", required=True, help="full name, with its fingerprint; in a further set of prompts: name@set"
    )
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    write_reference_statistics(*Experiment.load(arguments.config).in_set(arguments.extractor))


if __name__ == "__main__":
    main()
