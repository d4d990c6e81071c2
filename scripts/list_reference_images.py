"""Lists the reference images: all of a folder or archive, or those of the dataset."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.data.dataset import write_reference_list


def main() -> None:
    parser = door.parser(__doc__)
    door.add_prompt_set(parser)
    door.enter(write_list, parser.parse_args())


def write_list(arguments: argparse.Namespace) -> None:
    write_reference_list(Experiment.load(arguments.config).view(arguments.prompt_set))


if __name__ == "__main__":
    main()
