"""Builds the page: the answer in words, figures, the gallery, tables and how it was made, in one HTML file."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.report.gallery_and_page import write_page


def main() -> None:
    door.enter(report, door.parser(__doc__).parse_args())


def report(arguments: argparse.Namespace) -> None:
    write_page(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
