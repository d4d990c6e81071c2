"""Tables of the metrics beyond FID."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.special import stdtrit

from emudrift.config.arm import Arm
from emudrift.config.metrics import Metric, Value
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.blocks import Cell, Table, csv_of, label_of
from emudrift.report.elements.wording import decimals, extractor_label, number, p_text

SCORES = "scores"
"""In the names of files, where an extractor's stands for the others."""


def metric_tables(metrics: pd.DataFrame, arms: Sequence[Arm], registered: Sequence[Metric]) -> list[Table]:
    """One table per extractor, and one of scores that have none: a row per metric, a column per arm.

    Args:
        registered: the metrics of the experiment.
    """
    tables, known = [], _known(registered)
    for extractor, table in metrics.groupby("extractor", sort=False):
        cells = {(row.metric, row.arm): _cell(row, row.value) for row in rows_of(table)}
        names = [arm.name for arm in arms if arm.name in set(table["arm"])]
        rows = [
            [_name(known, metric), *(cells[metric, name] for name in names), _reference(ours)]
            for metric, ours in table.groupby("metric", sort=False)
        ]
        labels = [label_of(arm) for arm in arms if arm.name in names]
        head, file = ["metric", *labels, "reference"], f"metrics-{str(extractor) or SCORES}.csv"
        tables.append(Table(_title(str(extractor), table), head, rows, csv_of(table), file))
    return tables


def metric_difference_tables(differences: pd.DataFrame, registered: Sequence[Metric]) -> list[Table]:
    """One table per extractor: a row per metric, a column per model and guidance scale. Arguments as `metric_tables`."""
    tables, known = [], _known(registered)
    for extractor, table in differences.groupby("extractor", sort=False):
        cells, heads = {}, {}
        for row in rows_of(table):
            key = (row.baseline_arm, row.arm)
            scale = "" if pd.isna(row.guidance_scale) else f", guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
            heads[key] = f"{row.model} − {row.baseline}{scale}"
            cells[row.metric, key] = _difference(row)
        rows = [[_name(known, metric), *(cells[metric, key] for key in heads)] for metric in table["metric"].unique()]
        head, file = ["metric", *heads.values()], f"metric-differences-{str(extractor) or SCORES}.csv"
        tables.append(Table(_title(str(extractor), table), head, rows, csv_of(table), file))
    return tables


def tokenizer_tables(quality: Mapping[str, pd.DataFrame], arms: Sequence[Arm]) -> list[Table]:
    """What tokenizers lose of the real images; no table where there is none.

    Args:
        quality: arm to its table by `tokenizer_quality`, one row per image.
    """
    rows = []
    for arm in arms:
        if arm.name in quality:
            table = quality[arm.name]
            cells = [_mean(table["psnr"], " dB"), _mean(table["ssim"])]
            rows.append([Cell(label_of(arm)), Cell(f"{len(table):,}"), *cells])
    head = ["tokenizer", "images", "PSNR", "SSIM"]
    return [Table("Real images through the tokenizer and back", head, rows)] if rows else []


def _mean(values: pd.Series, unit: str = "") -> Cell:
    """The mean over images with its 95 % t interval."""
    mean, error = float(values.mean()), float(values.std() / len(values) ** 0.5)
    margin = float(stdtrit(len(values) - 1, 0.975)) * error
    places = decimals(2 * margin)
    low, high = (number(each, places) for each in (mean - margin, mean + margin))
    return Cell(f"{number(mean, places)}{unit}", f"[{low} to {high}]")


def _cell(row: Any, value: float) -> Cell:
    places = decimals(row.high - row.low)
    shown, estimate, low, high = (number(each, places) for each in (value, row.estimate, row.low, row.high))
    return Cell(shown, f"[{low} to {high}]" if estimate == shown else f"{estimate} [{low} to {high}]")


def _difference(row: Any) -> Cell:
    places = decimals(row.high - row.low)
    shown, low, high = (number(each, places, signed=True) for each in (row.estimate, row.low, row.high))
    p, p_holm = (p_text(each) for each in (row.p, row.p_holm))
    return Cell(f"{shown} [{low} to {high}]", f"{row.finding}; p {p}, adjusted {p_holm}", row.finding.split()[0])


def _reference(table: pd.DataFrame) -> Cell:
    first = table.iloc[0]
    counted = f": {first['reference_n']:,}" if first["reference_n"] else ""
    return Cell(f"{first['reference']}{counted}", first["method"], "wide")


def _known(registered: Sequence[Metric]) -> dict[str, tuple[Value, Metric]]:
    """Each value that a metric gives, by its name in the tables."""
    return {value.name: (value, metric) for metric in registered for value in metric.values}


def _name(known: dict[str, tuple[Value, Metric]], name: object) -> Cell:
    """A metric's name with its direction; below it its paper."""
    value, metric = known[str(name)]
    better = "higher" if value.higher_is_better else "lower"
    return Cell(f"{value.label or value.name} ({better} is better)", metric.citation)


def _title(extractor: str, table: pd.DataFrame) -> str:
    return f"{extractor_label(extractor, [extractor]) or 'Scores of each image'}, N = {table['n'].max():,}"
