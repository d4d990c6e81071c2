"""The section on the exchange rate between seeing and drawing: its figure, its sentences and its table."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.evaluation.tables import rows_of
from emudrift.report.answer.exchange import ExchangeAnswer, exchange_answer
from emudrift.report.elements.blocks import Cell, Picture, Table, csv_of, data_uri
from emudrift.report.elements.seeing import drawing_unit, seeing_unit, share_text
from emudrift.report.figures.captions import labels_of

LEAD = "What fine-tuning bought in seeing, what it cost in drawing, and how much of it can be kept at which strength."


@dataclass(frozen=True)
class ExchangeSection:
    """What the page says of the exchange rate."""

    answer: ExchangeAnswer
    picture: Picture
    tables: list[Table]


def exchange_section(table: pd.DataFrame, svg: bytes) -> ExchangeSection:
    """Builds the section from exchange.csv.

    Args:
        svg: the figure by `figures.exchange.exchange_figure`.
    """
    picture = Picture(
        svg,
        "Seeing against drawing for every strength, with intervals on both axes; the numbers are in the table below",
        exchange_caption(table),
        data_uri(csv_of(table).encode(), "text/csv;charset=utf-8"),
        "exchange",
        labels_of(table),
    )
    return ExchangeSection(exchange_answer(table), picture, exchange_tables(table))


def exchange_caption(table: pd.DataFrame) -> str:
    row = rows_of(table)[0]
    seen, drawn = seeing_unit(row.seeing_metric), drawing_unit(row.drawing_metric, row.extractor)
    what = (
        drawn.name
        if row.drawing_higher_is_better
        else f"the {drawn.name} difference from {row.baseline}, corrected for bias, on an axis that is turned round"
    )
    return (
        f"The exchange rate between seeing and drawing. Right: sees better ({seen.name}, {row.task}, {row.seeing_n:,} "
        f"questions). Up: draws better ({what}; N = {row.drawing_n:,}). Star: {row.baseline}. Numbers: the adapter's scale, or "
        f"training step. Bars: {100 * row.confidence:.3g} % intervals. Grey: the Pareto front by the estimates. Hollow: too few "
        "images for a finding."
    )


def exchange_methods(table: pd.DataFrame) -> str:
    """How the exchange rate was computed, for the methods paragraph."""
    row = rows_of(table)[0]
    seen, drawn = seeing_unit(row.seeing_metric), drawing_unit(row.drawing_metric, row.extractor)
    said = (
        f"What fine-tuning gained in seeing ({seen.name} of {row.task}, the same {row.seeing_n:,} questions for every strength) "
        f"was set against what it cost in drawing ({drawn.name}, N = {row.drawing_n:,})."
    )
    if table["gain_kept"].notna().any() or table["cost_paid"].notna().any():
        said += (
            " Shares of gain and cost are ratios of paired differences over the same questions or blocks of prompts, with "
            "Fieller's intervals (Fieller, 1954); they are given only where the difference at full strength is certain."
        )
    margins = [
        f"at most {unit.amount(value)} of {unit.name} {than}"
        for value, unit, than in (
            (row.margin_drawing, drawn, f"worse than {row.baseline}"),
            (row.margin_seeing, seen, "below full strength"),
        )
        if not math.isnan(value)
    ]
    if margins:
        said += (
            " A strength was recommended where intervals that hold together for all strengths show it to lie within the "
            f"tolerance declared beforehand ({' and '.join(margins)})."
        )
    return said


def exchange_tables(table: pd.DataFrame) -> list[Table]:
    """One table: a row for each point at each guidance scale."""
    rows = rows_of(table)
    seen, drawn = (
        seeing_unit(rows[0].seeing_metric),
        drawing_unit(rows[0].drawing_metric, rows[0].extractor),
    )
    head = [
        "strength", f"seeing: {seen.name}", "gain", "gain kept", f"drawing: {drawn.name}", "difference", "cost paid",
        "Pareto front", "within the tolerance",
    ]  # fmt: skip
    found = []
    for row in rows:
        name = row.model if row.label == row.model else f"{row.model}, {row.label}"
        where = "" if math.isnan(row.guidance_scale) else f"guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
        front = "yes" if row.front else "no"
        found.append(
            [
                Cell(name, where),
                _cell(row, "seeing", seen.value),
                _cell(row, "seeing_difference", seen.difference),
                _cell(row, "gain_kept", share_text),
                _cell(row, "drawing", drawn.value),
                _cell(row, "drawing_difference", drawn.difference),
                _cell(row, "cost_paid", share_text),
                Cell(front, "certain" if row.front_certain else "not certain"),
                Cell(row.fits or "–", "recommended" if row.recommended else ""),
            ]
        )
    return [Table("Points of the exchange rate", head, found, csv=csv_of(table), file="exchange.csv")]


def _cell(row: Any, column: str, write: Callable[[float, float, float], str]) -> Cell:
    """An estimate with its interval below it; a dash where there is none."""
    value, low, high = (getattr(row, column + end) for end in ("", "_low", "_high"))
    if math.isnan(value):
        return Cell("–")
    estimate, _, interval = write(value, low, high).partition(" [")
    return Cell(estimate, f"[{interval}", value=value)
