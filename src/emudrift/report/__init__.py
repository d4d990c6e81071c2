"""The page, one self-contained HTML file: the answer in words, figures, images, tables and what was run."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from PIL import Image

from emudrift.comparison import rows_of
from emudrift.errors import InputError
from emudrift.experiment import Arm, Experiment
from emudrift.extractor_settings import distance_name
from emudrift.figures import comparison_caption, fid_caption
from emudrift.grid import GridRow, side_by_side
from emudrift.report.human import human_section
from emudrift.report.metrics import metric_difference_tables, metric_tables, tokenizer_tables
from emudrift.report.run import Manifest, experiment_facts, off_distribution, other_vqs, run_tables
from emudrift.report.table import Cell, Table, label_of
from emudrift.report.verdict import verdict
from emudrift.report.words import decimals, interval_text, number

# Pixels of the longer side of a thumbnail: twice what the page shows, for dense screens.
THUMBNAIL = 320


def build_report(
    experiment: Experiment,
    fid: pd.DataFrame,
    comparison: pd.DataFrame,
    manifests: Sequence[Manifest],
    grid: Sequence[GridRow],
    fid_svg: bytes,
    comparison_svg: bytes,
    metrics: pd.DataFrame | None = None,
    metric_differences: pd.DataFrame | None = None,
    tokenizers: dict[str, pd.DataFrame] | None = None,
    human: pd.DataFrame | None = None,
    raters: pd.DataFrame | None = None,
) -> str:
    """The page as HTML that needs no other file and no network. Equal inputs give equal text.

    Args:
        fid: fid.csv.
        comparison: comparison.csv.
        manifests: of all shards of all arms.
        grid: prompts to show; the images of each in the order of `grid.side_by_side(experiment.arms())`.
        fid_svg: by `figures.fid_curve`.
        comparison_svg: by `figures.comparison_figure`.
        metrics, metric_differences: metrics.csv and metric_differences.csv, where there are metrics beyond FID.
        tokenizers: what `tokenizer_quality` measured, by arm, where there are tokenizers.
        human, raters: human_evaluation.csv and raters.csv, where votes were imported.

    Raises:
        InputError: an arm has no manifest, or fid.csv has arms that the config has not.
    """
    arms = side_by_side(experiment.arms())
    shards = {arm.name: [m for m in manifests if m.arm == arm.name] for arm in arms}
    strangers = sorted(set(fid["arm"]) - set(shards))
    if strangers:
        raise InputError(f"fid.csv has arms that the config has not: {', '.join(strangers)}; run the workflow again")
    for arm in arms:
        if not shards[arm.name]:
            raise InputError(f"arm {arm.name} has no manifest: run its shards before the report")
    answer = verdict(comparison, fid, experiment.baseline, experiment.floors)
    random = sorted(set(fid.loc[fid["weights"] == "random", "extractor"]))
    config = experiment.config
    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        title=config.name,
        question=_question(experiment),
        note=config.note,
        random=random,
        only_random=bool((fid["weights"] == "random").all()),
        verdict=answer,
        fid_figure=_data_uri(fid_svg, "image/svg+xml"),
        fid_caption=fid_caption(fid),
        comparison_figure=None if comparison.empty else _data_uri(comparison_svg, "image/svg+xml"),
        comparison_caption=comparison_caption(comparison),
        labels=["real image", *map(label_of, arms)],
        grid=[_grid_row(row) for row in grid],
        fid_tables=_fid_tables(fid, arms),
        comparison_tables=_comparison_tables(comparison),
        metric_tables=[] if metrics is None else metric_tables(metrics, arms),
        tokenizer_tables=tokenizer_tables(tokenizers or {}, arms),
        metric_difference_tables=[] if metric_differences is None else metric_difference_tables(metric_differences),
        human=None if human is None or raters is None else human_section(human, raters, arms),
        off_distribution=[arm.model for arm in off_distribution(arms)],
        baseline=experiment.baseline,
        other_vqs=other_vqs(experiment, shards),
        forced=[
            (label_of(arm), sum(m.forced for m in shards[arm.name]))
            for arm in arms
            if any(m.forced for m in shards[arm.name])
        ],
        flagged=[(label_of(arm), n) for arm in arms if (n := sum(len(m.flagged) for m in shards[arm.name]))],
        experiment_facts=experiment_facts(experiment, fid),
        run_tables=run_tables(experiment, arms, shards, fid),
    )


def _question(experiment: Experiment) -> str:
    others = [name for name in experiment.model_names if name not in (experiment.baseline, *experiment.floors)]
    if not others:
        return f"FID of {experiment.baseline}"
    return f"{', '.join(others)} against {experiment.baseline}"


# --- images ---


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _grid_row(row: GridRow) -> dict[str, Any]:
    images = [None if image is None else _thumbnail(image) for image in (row.real, *row.images)]
    return {"prompt_id": row.prompt_id, "caption": row.caption, "images": images}


def _thumbnail(image: Image.Image) -> dict[str, Any]:
    """A small copy: lossless where the image itself is small, since JPEG would add faults of its own."""
    small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(image.size) <= 128:
        small.save(buffer, format="PNG", optimize=True)
        kind = "image/png"
    else:
        small.save(buffer, format="JPEG", quality=88)
        kind = "image/jpeg"
    return {"source": _data_uri(buffer.getvalue(), kind), "width": small.width, "height": small.height}


# --- tables of results ---


def _fid_tables(fid: pd.DataFrame, arms: Sequence[Arm]) -> list[Table]:
    """One table per extractor: a row per N, a column per arm."""
    tables = []
    labels = {arm.name: label_of(arm) for arm in arms}
    for extractor, table in fid.groupby("extractor", sort=False):
        present = set(table["arm"])
        names = [name for name in labels if name in present]
        places = decimals(float((table["high"] - table["low"]).median()))
        cells = {(row.n, row.arm): _fid_cell(row, places) for row in rows_of(table)}
        rows = [
            [Cell(f"{n:,}"), *(cells.get((n, name), Cell("–")) for name in names)] for n in sorted(table["n"].unique())
        ]
        tables.append(Table(_extractor_title(str(extractor), table), ["N", *(labels[name] for name in names)], rows))
    return tables


def _fid_cell(row: Any, places: int) -> Cell:
    corrected, low, high = (number(value, places) for value in (row.fid_jackknife, row.low, row.high))
    return Cell(number(row.fid, places), f"{corrected} [{low} to {high}]", "" if row.reliable else "unreliable")


def _comparison_tables(comparison: pd.DataFrame) -> list[Table]:
    """One table per extractor: a row per N, a column per model and guidance scale."""
    tables = []
    for extractor, table in comparison.groupby("extractor", sort=False):
        cells, heads = {}, {}
        for row in rows_of(table):
            key = (row.baseline_arm, row.arm)
            scale = "" if pd.isna(row.guidance_scale) else f", guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
            heads[key] = f"{row.model} − {row.baseline}{scale}"
            cells[row.n, key] = _difference_cell(row)
        rows = [[Cell(f"{n:,}"), *(cells[n, key] for key in heads)] for n in sorted(table["n"].unique())]
        tables.append(Table(_extractor_title(str(extractor), table), ["N", *heads.values()], rows))
    return tables


def _difference_cell(row: Any) -> Cell:
    difference, interval = interval_text(row)
    plain = number(row.difference, decimals(row.high - row.low), signed=True)
    style = row.finding.split()[0] + ("" if row.reliable else " unreliable")
    return Cell(f"{difference} [{interval}]", f"{row.finding}; plain {plain}", style)


def _extractor_title(extractor: str, table: pd.DataFrame) -> str:
    """The extractor; before it what the Fréchet distance through it is called, where that is not FID."""
    name = distance_name(extractor)
    return (
        ("" if name == "FID" else f"{name}: ")
        + extractor
        + (" (random weights)" if (table["weights"] == "random").any() else "")
    )
