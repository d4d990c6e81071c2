"""Draws the images of one shard of one arm and packs them; goes on where an earlier attempt stopped."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.generation.run_shard import run_shard


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--rows", required=True, help="range of prompt rows, such as 000000-000500")
    parser.add_argument("--batch-size", required=True, type=door.batch_size, help="images generated together, or auto")
    door.enter(generate, parser.parse_args())


def generate(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    run_shard(experiment, experiment.arm(arguments.arm), RowRange.parse(arguments.rows), arguments.batch_size)


if __name__ == "__main__":
    main()
