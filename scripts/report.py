"""Builds the page: the answer in words, figures, the gallery, tables and how it was made, in one HTML file."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.report.gallery.row_blocks import blocks
from emudrift.report.gallery.strips import remove_other_blocks
from emudrift.report.load_content import load_content
from emudrift.report.page import build_report
from emudrift.runtime.atomic_files import write_bytes_atomically


def main() -> None:
    door.enter(report, door.parser(__doc__).parse_args())


def report(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    paths = experiment.paths
    write_bytes_atomically(paths.page, build_report(experiment, load_content(experiment)).encode())
    remove_other_blocks(paths.gallery, [block.name for block in blocks(experiment)])


if __name__ == "__main__":
    main()
