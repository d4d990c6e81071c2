"""Says what an experiment still has to do: shards, images, GPU-hours, disk space. Runs nothing."""

import argparse

import door

from emudrift.experiment import Experiment
from emudrift.survey import plan_view, survey
from emudrift.terminal import show


def main() -> None:
    door.enter(plan, door.parser(__doc__).parse_args())


def plan(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    show(*plan_view(experiment, survey(experiment)))


if __name__ == "__main__":
    main()
