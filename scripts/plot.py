"""Draws the figures: FID against N, the differences, the image grid."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.report.figures.all_figures import write_figures


def main() -> None:
    door.enter(plot, door.parser(__doc__).parse_args())


def plot(arguments: argparse.Namespace) -> None:
    write_figures(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
