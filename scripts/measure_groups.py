"""Computes the metrics of one arm's images in each group of prompts, from features that were extracted before."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.groups.distances import measure_groups
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    door.enter(measure, parser.parse_args())


def measure(arguments: argparse.Namespace) -> None:
    experiment, where = Experiment.load(arguments.config), (arguments.extractor, arguments.arm)
    found = measure_groups(experiment, *where)
    write_json(experiment.paths.group_distances(*where), found.model_dump(mode="json"))


if __name__ == "__main__":
    main()
