"""Builds the page: the answer in words, figures, the gallery, tables and how it was made, in one HTML file."""

import argparse
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.runtime.atomic_files import write_bytes_atomically
from emudrift.report.gallery.strips import load_block, remove_other_blocks
from emudrift.evaluation.human.win_rates import RATE_COLUMNS
from emudrift.evaluation.human.votes import RATER_COLUMNS
from emudrift.evaluation.tables import (
    CLIP_SCORE_COLUMNS,
    COMPARISON_COLUMNS,
    DIFFERENCE_COLUMNS,
    FID_COLUMNS,
    METRIC_COLUMNS,
    QUALITY_COLUMNS,
    load_table,
)
from emudrift.report.page import Content, build_report
from emudrift.report.sections.provenance import load_manifests
from emudrift.report.gallery.section import build_gallery
from emudrift.generation.shards import forget_finished


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--fid", required=True, type=Path, help="fid.csv")
    parser.add_argument("--comparison", required=True, type=Path, help="comparison.csv")
    parser.add_argument("--figures", required=True, type=Path, help="folder of the figures")
    parser.add_argument(
        "--gallery", required=True, type=Path, nargs="+", help="indices of the gallery's blocks, in order"
    )
    parser.add_argument("--metrics", type=Path, help="metrics.csv, where there are metrics beyond FID")
    parser.add_argument("--metric-differences", type=Path, help="metric_differences.csv, likewise")
    parser.add_argument("--clip-scores", type=Path, nargs="*", default=[], help="CSV of each arm, in the arm's folder")
    parser.add_argument("--tokenizers", type=Path, nargs="*", default=[], help="CSV of each tokenizer's arm")
    parser.add_argument("--human-evaluation", type=Path, help="human_evaluation.csv, where votes were imported")
    parser.add_argument("--raters", type=Path, help="raters.csv, likewise")
    parser.add_argument("--output", required=True, type=Path, help="HTML to write")
    door.enter(report, parser.parse_args())


def report(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    scores = {
        path.parent.name: load_table(path, CLIP_SCORE_COLUMNS)["clip_score"].to_numpy()
        for path in arguments.clip_scores
    }
    blocks = [load_block(path) for path in arguments.gallery]
    content = Content(
        load_table(arguments.fid, FID_COLUMNS),
        load_table(arguments.comparison, COMPARISON_COLUMNS),
        load_manifests(experiment.manifests()),
        (arguments.figures / "fid.svg").read_bytes(),
        (arguments.figures / "difference.svg").read_bytes(),
        build_gallery(experiment, blocks, arguments.gallery[0].parent, scores or None),
        arguments.metrics and load_table(arguments.metrics, METRIC_COLUMNS),
        arguments.metric_differences and load_table(arguments.metric_differences, DIFFERENCE_COLUMNS),
        {path.stem: load_table(path, QUALITY_COLUMNS) for path in arguments.tokenizers},
        arguments.human_evaluation and load_table(arguments.human_evaluation, RATE_COLUMNS),
        arguments.raters and load_table(arguments.raters, RATER_COLUMNS),
    )
    write_bytes_atomically(arguments.output, build_report(experiment, content).encode())
    remove_other_blocks(arguments.gallery[0].parent, [path.stem for path in arguments.gallery])
    # The experiment is at its end: no job of a killed run can come back to its shards any more.
    forget_finished(experiment.results / "images")


if __name__ == "__main__":
    main()
