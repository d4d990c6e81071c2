"""Compares two models by features that come from elsewhere: FID difference, interval and finding. Needs no experiment."""

import argparse
import json
from pathlib import Path

import door

from emudrift.evaluation.fid.arrays import compare_arrays, load_array, load_groups
from emudrift.runtime.atomic_files import write_bytes_atomically


def main() -> None:
    parser = door.parser(__doc__, config=False)
    parser.add_argument("--baseline", required=True, type=Path, help="features of the baseline's images: .npy, (n, d)")
    parser.add_argument(
        "--model", required=True, type=Path, help="of the model's; row i for the prompt of row i of both"
    )
    parser.add_argument(
        "--reference", required=True, type=Path, help="of real images: .npy, (m, d); or .npz: mu, sigma"
    )
    parser.add_argument("--groups", type=Path, help="text, one line per row: rows of one group depend on each other")
    parser.add_argument("--margin", type=float, help="a difference that would not matter")
    parser.add_argument("--output", required=True, type=Path, help="JSON with the result")
    door.enter(compare, parser.parse_args())


def compare(arguments: argparse.Namespace) -> None:
    reference = arguments.reference
    found = compare_arrays(
        load_array(arguments.baseline),
        load_array(arguments.model),
        reference if reference.suffix == ".npz" else load_array(reference),
        None if arguments.groups is None else load_groups(arguments.groups),
        arguments.margin,
    )
    write_bytes_atomically(arguments.output, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
