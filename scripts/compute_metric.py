"""Computes one metric beyond FID of one arm at one N, from features that were extracted before."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.metrics.measure import measure, write_per_image
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--metric", required=True, help="its name; of a plugin's with the fingerprint of its file")
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--n", required=True, type=door.positive, help="number of images")
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    experiment, where = Experiment.load(arguments.config), (arguments.metric, arguments.extractor, arguments.arm)
    found = measure(experiment, *where, arguments.n)
    if experiment.metric(arguments.metric).per_image:
        write_per_image(experiment, found.values[0], experiment.paths.per_image(*where, str(arguments.n)))
    write_json(experiment.paths.metric(*where, str(arguments.n)), found.model_dump(mode="json"))


if __name__ == "__main__":
    main()
