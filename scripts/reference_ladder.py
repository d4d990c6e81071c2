"""Measures what known degradations of the reference images cost, as distances through one extractor. Runs on a CPU."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.measure_ladder import measure_ladder


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument(
        "--extractor", required=True, help="full name, with its fingerprint; in a further set of prompts: name@set"
    )
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(measure, parser.parse_args())


def measure(arguments: argparse.Namespace) -> None:
    experiment, extractor = Experiment.load(arguments.config).in_set(arguments.extractor)
    measure_ladder(experiment, extractor, arguments.batch_size)


if __name__ == "__main__":
    main()
