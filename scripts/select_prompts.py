"""Finds which of a dataset's prompts meet conditions (where), and records what each condition removes."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.data.annotated_prompts import select_prompts


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--key", required=True, help="of the conditions of prompts: where or reference: where")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(select, parser.parse_args())


def select(arguments: argparse.Namespace) -> None:
    select_prompts(Experiment.load(arguments.config), arguments.key, arguments.batch_size)


if __name__ == "__main__":
    main()
