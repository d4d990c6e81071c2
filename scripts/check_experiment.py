"""The last look before anything long starts: models, prompts, sample sizes, device."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.features.record_check import record_check


def main() -> None:
    door.enter(check, door.parser(__doc__).parse_args())


def check(arguments: argparse.Namespace) -> None:
    record_check(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
