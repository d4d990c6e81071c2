"""Tables of FIDs (one row per arm and N) and of FID differences (one row per pair of arms and N)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from emudrift.config.arm import Arm
from emudrift.config.extractors import distance_name
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.blocks import Cell, Table, csv_of, label_of
from emudrift.report.elements.wording import decimals, interval_text, number, p_text
from emudrift.report.figures.captions import panels_of


def fid_tables(fid: pd.DataFrame, arms: Sequence[Arm]) -> list[Table]:
    """One table per extractor and reference selection: one row per arm and N, largest N first."""
    tables = []
    labels = {arm.name: label_of(arm) for arm in arms}
    order = {arm.name: place for place, arm in enumerate(arms)}
    for title, table in panels_of(fid):
        places = decimals(float((table["high"] - table["low"]).median()))
        name = distance_name(title)
        rows = [
            [
                Cell(labels[row.arm]),
                Cell(f"{row.n:,}", style="" if row.reliable else "unreliable"),
                Cell(number(row.fid, places)),
                _estimate(row.fid_jackknife, row.low, row.high, places),
                _estimate(row.fid_infinity, row.fid_infinity_low, row.fid_infinity_high, places),
            ]
            for row in sorted(rows_of(table), key=lambda row: (-row.n, order[row.arm]))
        ]
        head = ["arm", "N", f"plain {name}", f"bias-corrected {name} [interval]", f"{name}∞ [interval]"]
        tables.append(Table(_title(title, table), head, rows, csv_of(table), f"fid-{_file(title)}.csv"))
    return tables


def comparison_tables(comparison: pd.DataFrame) -> list[Table]:
    """One table per extractor and reference selection: one row per comparison and N, largest N first."""
    tables = []
    for title, table in panels_of(comparison):
        rows = [_difference_row(row) for row in sorted(rows_of(table), key=lambda row: -row.n)]
        head = [
            "comparison",
            "N",
            "bias-corrected difference [interval]",
            "finding",
            "p",
            "adjusted p",
            "simultaneous interval",
        ]
        head += ["in the means", "in the covariances"]
        head += ["difference extrapolated to infinite N [interval]", "plain difference"]
        tables.append(Table(_title(title, table), head, rows, csv_of(table), f"comparison-{_file(title)}.csv"))
    return tables


def _difference_row(row: Any) -> list[Cell]:
    scale = "" if pd.isna(row.guidance_scale) else f", guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
    difference, interval = interval_text(row)
    places = decimals(row.high - row.low)
    return [
        Cell(f"{row.model} − {row.baseline}{scale}"),
        Cell(f"{row.n:,}", style="" if row.reliable else "unreliable"),
        Cell(f"{difference} [{interval}]", value=row.difference_jackknife),
        Cell(row.finding, style=row.finding.split()[0]),
        Cell(_p(row.p), value=row.p),
        Cell(_p(row.p_adjusted), value=row.p_adjusted),
        Cell(interval_text(row, "_simultaneous")[1], value=row.low_simultaneous),
        Cell(number(row.difference_means, places, signed=True)),
        Cell(number(row.difference_covariances, places, signed=True)),
        _estimate(row.difference_infinity, row.infinity_low, row.infinity_high, places, signed=True),
        Cell(number(row.difference, places, signed=True)),
    ]


def _p(value: float) -> str:
    return p_text(value).removeprefix("= ")


def _estimate(value: float, low: float, high: float, places: int, *, signed: bool = False) -> Cell:
    if pd.isna(value):
        return Cell("–")
    ends = " to ".join(number(end, places) for end in (low, high))
    return Cell(f"{number(value, places, signed=signed)} [{ends}]", value=value)


def _title(title: str, table: pd.DataFrame) -> str:
    """The extractor, preceded by the name of its Fréchet distance if that is not FID."""
    name = distance_name(title)
    random = " (random weights)" if (table["weights"] == "random").any() else ""
    return ("" if name == "FID" else f"{name}: ") + title + random


def _file(title: str) -> str:
    return title.replace(", reference: ", "-").replace(" ", "-")
