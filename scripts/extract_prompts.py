"""Extracts the prompt table from the captions of a dataset."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.data.dataset import write_prompt_table


def main() -> None:
    parser = door.parser(__doc__)
    door.add_prompt_set(parser)
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    write_prompt_table(Experiment.load(arguments.config).view(arguments.prompt_set))


if __name__ == "__main__":
    main()
