"""Makes the columns of the prompts that the config asks for, next to the prompt table."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.data.annotated_prompts import annotate_prompts


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--key", required=True, help="of the table, in its name")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(annotate, parser.parse_args())


def annotate(arguments: argparse.Namespace) -> None:
    annotate_prompts(Experiment.load(arguments.config), arguments.key, arguments.batch_size)


if __name__ == "__main__":
    main()
