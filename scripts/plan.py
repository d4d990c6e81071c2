"""Says what an experiment still has to do: shards, images, GPU-hours, disk space. Runs nothing."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.report.plan_and_status import plan_view
from emudrift.generation.progress_of_arms import survey
from emudrift.runtime.terminal import show


def main() -> None:
    door.enter(plan, door.parser(__doc__).parse_args())


def plan(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    show(*plan_view(experiment, survey(experiment)))


if __name__ == "__main__":
    main()
