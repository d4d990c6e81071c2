"""Mean and covariance of the reference's features; or ready statistics, validated."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.features.feature_files import load_features
from emudrift.features.statistics import load_statistics, statistics, write_statistics


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    extractor = experiment.extractor(arguments.extractor)
    key, ready = experiment.reference_key(extractor), extractor.ready_statistics
    if ready is None:
        found = statistics(load_features([experiment.paths.reference_features(key)]))
    else:
        found = load_statistics(experiment.path(ready), extractor.dims)
    source = experiment.describe_reference(extractor, "full") | {"extractor": extractor.feature_settings(experiment)}
    write_statistics(experiment.paths.reference_statistics(key), found, source)


if __name__ == "__main__":
    main()
