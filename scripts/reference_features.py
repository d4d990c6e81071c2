"""Extracts the features of the reference images, once for all experiments that use them."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.features.reference import extract_reference_features


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument(
        "--extractor", required=True, help="full name, with its fingerprint; in a further set of prompts: name@set"
    )
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment, extractor = Experiment.load(arguments.config).in_set(arguments.extractor)
    extract_reference_features(experiment, extractor, arguments.batch_size)


if __name__ == "__main__":
    main()
