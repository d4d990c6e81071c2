"""Says how far a running experiment is: images, rate, time left, who works, what failed and why."""

import argparse

import door

from emudrift.experiment import Experiment
from emudrift.survey import status_view, survey
from emudrift.terminal import show


def main() -> None:
    door.enter(status, door.parser(__doc__).parse_args())


def status(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    show(*status_view(experiment, survey(experiment)))


if __name__ == "__main__":
    main()
