"""Draws the figures: FID against N, the differences, the image grid."""

import argparse
from pathlib import Path

import door

from emudrift.evaluation.tables import COMPARISON_COLUMNS, FID_COLUMNS, load_table
from emudrift.config.experiment import Experiment
from emudrift.report.figures.differences import comparison_figure
from emudrift.report.figures.fid_curve import fid_curve
from emudrift.report.gallery.strips import load_grid_rows
from emudrift.report.figures.image_grid import image_grid, side_by_side
from emudrift.data.prompts import load_prompts


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--fid", required=True, type=Path, help="fid.csv")
    parser.add_argument("--comparison", required=True, type=Path, help="comparison.csv")
    parser.add_argument("--prompts", required=True, type=Path, help="prompts.parquet")
    parser.add_argument("--folder", required=True, type=Path, help="where the figures go")
    door.enter(plot, parser.parse_args())


def plot(arguments: argparse.Namespace) -> None:
    experiment, folder = Experiment.load(arguments.config), arguments.folder
    fid_curve(load_table(arguments.fid, FID_COLUMNS), folder / "fid", floors=experiment.floors)
    comparison_figure(load_table(arguments.comparison, COMPARISON_COLUMNS), folder / "difference")
    labels = [arm.label for arm in side_by_side(experiment.arms())]
    image_grid(labels, load_grid_rows(experiment, load_prompts(arguments.prompts)), folder / "grid")


if __name__ == "__main__":
    main()
