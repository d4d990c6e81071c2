"""Makes the gallery's thumbnails of a range of prompts: one strip per prompt, and their index."""

import argparse
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.report.gallery.strips import write_block
from emudrift.data.prompts import load_prompts


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--rows", required=True, help="range of prompt rows, such as 000000-001000")
    parser.add_argument("--prompts", required=True, type=Path, help="prompts.parquet")
    parser.add_argument("--folder", required=True, type=Path, help="where the strips go, <row>.webp")
    parser.add_argument("--index", required=True, type=Path, help="JSON to write")
    door.enter(make, parser.parse_args())


def make(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    prompts = load_prompts(arguments.prompts)
    write_block(experiment, prompts, RowRange.parse(arguments.rows), arguments.index, arguments.folder)


if __name__ == "__main__":
    main()
