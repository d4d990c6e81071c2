"""Builds the page: the answer in words, figures, the gallery, tables and how it was made, in one HTML file."""

import argparse
from pathlib import Path
from typing import Any

import door
import pandas as pd

from emudrift.config.experiment import Experiment
from emudrift.evaluation.human.study import imported_tables
from emudrift.evaluation.human.votes import RATER_COLUMNS
from emudrift.evaluation.human.win_rates import RATE_COLUMNS
from emudrift.evaluation.tables import (
    CLIP_SCORE_COLUMNS,
    COMPARISON_COLUMNS,
    DIFFERENCE_COLUMNS,
    FID_COLUMNS,
    METRIC_COLUMNS,
    QUALITY_COLUMNS,
    load_table,
)
from emudrift.generation.shards import forget_finished
from emudrift.report.gallery import row_blocks
from emudrift.report.gallery.section import build_gallery
from emudrift.report.gallery.strips import load_block, remove_other_blocks
from emudrift.report.page import Content, build_report
from emudrift.report.sections.provenance import load_manifests
from emudrift.runtime.atomic_files import write_bytes_atomically


def main() -> None:
    door.enter(report, door.parser(__doc__).parse_args())


def report(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    paths, rows = experiment.paths, [block.name for block in row_blocks.blocks(experiment)]
    blocks = [load_block(paths.gallery_index(each)) for each in rows]
    scores = {
        arm: load_table(path, CLIP_SCORE_COLUMNS)["clip_score"].to_numpy()
        for arm, path in row_blocks.clip_score_files(experiment).items()
    }
    metrics, human = bool(experiment.metric_files()), bool(imported_tables(paths))

    def table(path: Path, columns: dict[str, Any], there: bool) -> pd.DataFrame | None:
        return load_table(path, columns) if there else None

    content = Content(
        load_table(paths.fid_table, FID_COLUMNS),
        load_table(paths.comparison_table, COMPARISON_COLUMNS),
        load_manifests(experiment.manifests()),
        paths.figure("fid", ".svg").read_bytes(),
        paths.figure("difference", ".svg").read_bytes(),
        build_gallery(experiment, blocks, paths.gallery, scores or None),
        table(paths.metric_table, METRIC_COLUMNS, metrics),
        table(paths.metric_differences, DIFFERENCE_COLUMNS, metrics),
        {arm: load_table(paths.tokenizer_quality(arm), QUALITY_COLUMNS) for arm in experiment.floor_arms()},
        table(paths.win_rates, RATE_COLUMNS, human),
        table(paths.rater_table, RATER_COLUMNS, human),
    )
    write_bytes_atomically(paths.page, build_report(experiment, content).encode())
    remove_other_blocks(paths.gallery, rows)
    # The experiment is at its end: no job of a killed run can come back to its shards any more.
    forget_finished(paths)


if __name__ == "__main__":
    main()
