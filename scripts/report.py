"""Builds the page: the answer in words, figures, images, tables and what was run, in one HTML file."""

import argparse
from pathlib import Path

import door

from emudrift.comparison import load_table
from emudrift.experiment import Experiment
from emudrift.files import write_bytes_atomically
from emudrift.gallery import load_grid_rows
from emudrift.human_evaluation.rates import RATE_COLUMNS
from emudrift.human_evaluation.votes import RATER_COLUMNS
from emudrift.metrics.records import DIFFERENCE_COLUMNS, METRIC_COLUMNS, load_metric_table
from emudrift.prompts import load_prompts
from emudrift.report import build_report
from emudrift.report.run import load_manifests
from emudrift.shards import forget_finished
from emudrift.tokenizer_quality import load_quality


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--fid", required=True, type=Path, help="fid.csv")
    parser.add_argument("--comparison", required=True, type=Path, help="comparison.csv")
    parser.add_argument("--prompts", required=True, type=Path, help="prompts.parquet")
    parser.add_argument("--figures", required=True, type=Path, help="folder of the figures")
    parser.add_argument("--metrics", type=Path, help="metrics.csv, where there are metrics beyond FID")
    parser.add_argument("--metric-differences", type=Path, help="metric_differences.csv, likewise")
    parser.add_argument("--tokenizers", type=Path, nargs="*", default=[], help="CSV of each tokenizer's arm")
    parser.add_argument("--human-evaluation", type=Path, help="human_evaluation.csv, where votes were imported")
    parser.add_argument("--raters", type=Path, help="raters.csv, likewise")
    parser.add_argument("--output", required=True, type=Path, help="HTML to write")
    door.enter(report, parser.parse_args())


def report(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    page = build_report(
        experiment,
        load_table(arguments.fid),
        load_table(arguments.comparison),
        load_manifests(experiment.manifests()),
        load_grid_rows(experiment, load_prompts(arguments.prompts)),
        (arguments.figures / "fid.svg").read_bytes(),
        (arguments.figures / "difference.svg").read_bytes(),
        arguments.metrics and load_metric_table(arguments.metrics, METRIC_COLUMNS),
        arguments.metric_differences and load_metric_table(arguments.metric_differences, DIFFERENCE_COLUMNS),
        {path.stem: load_quality(path) for path in arguments.tokenizers},
        arguments.human_evaluation and load_metric_table(arguments.human_evaluation, RATE_COLUMNS),
        arguments.raters and load_metric_table(arguments.raters, RATER_COLUMNS),
    )
    write_bytes_atomically(arguments.output, page.encode())
    # The experiment is at its end: no job of a killed run can come back to its shards any more.
    forget_finished(experiment.results / "images")


if __name__ == "__main__":
    main()
