"""Computes the FIDs of one arm at every N, with their block-jackknife intervals."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.fid_files import write_fids


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--selection", required=True, choices=["full", "same"], help="which real images")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    write_fids(Experiment.load(arguments.config), arguments.extractor, arguments.selection, arguments.arm)


if __name__ == "__main__":
    main()
