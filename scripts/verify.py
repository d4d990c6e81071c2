"""Reads all that is finished and says what is damaged, with the command that makes it again. Changes nothing."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.errors import InputError
from emudrift.generation.verify import damage, verify


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--threads", default=1, type=door.positive, help="files that are read at the same time")
    door.enter(read, parser.parse_args())


def read(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    found = verify(experiment, arguments.threads)
    if said := damage(experiment, found):
        raise InputError(said)
    print(f"{len(found):,} files, {sum(each.size for each in found) / 1e9:,.2f} GB: all are as they were written")


if __name__ == "__main__":
    main()
