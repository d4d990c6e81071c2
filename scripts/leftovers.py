"""Lists what earlier settings made and the config no longer names, with sizes, and how to remove it. Removes nothing."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.generation.leftovers import scan_leftovers
from emudrift.report.plan_and_status import leftovers_view
from emudrift.runtime.terminal import show


def main() -> None:
    door.enter(leftovers, door.parser(__doc__).parse_args())


def leftovers(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    show(*leftovers_view(experiment, scan_leftovers(experiment)))


if __name__ == "__main__":
    main()
