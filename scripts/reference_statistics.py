"""Mean and covariance of the reference's features; or ready statistics, looked over."""

import argparse
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.features.feature_files import load_features
from emudrift.features.statistics import load_statistics, statistics, write_statistics


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--input", required=True, type=Path, help="features .npy, or ready statistics .npz")
    parser.add_argument("--output", required=True, type=Path, help=".npz to write: mu, sigma, n, source")
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    extractor = experiment.extractor(arguments.extractor)
    ready = arguments.input.suffix == ".npz"
    found = load_statistics(arguments.input, extractor.dims) if ready else statistics(load_features([arguments.input]))
    source = experiment.describe_reference(extractor, "full") | {"extractor": extractor.feature_settings(experiment)}
    write_statistics(arguments.output, found, source)


if __name__ == "__main__":
    main()
