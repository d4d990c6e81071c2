"""Computes the FIDs of one arm at every N, with their block-jackknife intervals."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.fid.fid import fids_of_arm
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--selection", required=True, choices=["full", "same"], help="which real images")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    selection = experiment.selection(experiment.extractor(arguments.extractor), arguments.selection)
    for found in fids_of_arm(experiment, arguments.extractor, selection, arguments.arm):
        path = experiment.paths.fid(arguments.extractor, selection, arguments.arm, str(found.n))
        write_json(path, found.model_dump(mode="json"))


if __name__ == "__main__":
    main()
