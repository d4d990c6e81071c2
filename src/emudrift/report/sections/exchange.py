"""The section on the exchange rate between gain and cost: its figure, its sentences and its table."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.evaluation.tables import rows_of
from emudrift.report.answer.exchange import ExchangeAnswer, exchange_answer
from emudrift.report.elements.blocks import Cell, Picture, Table, csv_of, data_uri
from emudrift.report.elements.seeing import exchange_words, share_text
from emudrift.report.figures.captions import labels_of

LEAD = "What fine-tuning bought in seeing, what it cost in drawing, and how much of it can be kept at which strength."
LEAD_OF_GAIN = "What fine-tuning bought, what it cost, and how much of it can be kept at which strength."


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
        f"{exchange_words(rows_of(table)[0]).title} for every strength, with intervals on both axes; the numbers are in the "
        "table below",
        exchange_caption(table),
        data_uri(csv_of(table).encode(), "text/csv;charset=utf-8"),
        "exchange",
        labels_of(table),
    )
    return ExchangeSection(exchange_answer(table), picture, exchange_tables(table))


def exchange_lead(table: pd.DataFrame) -> str:
    """What stands below the section's heading."""
    return LEAD if exchange_words(rows_of(table)[0]).sees else LEAD_OF_GAIN


def exchange_caption(table: pd.DataFrame) -> str:
    row = rows_of(table)[0]
    words = exchange_words(row)
    what = (
        words.cost.name
        if row.drawing_higher_is_better
        else f"the {words.cost.name} difference from {row.baseline}, corrected for bias, on an axis that is turned round"
    )
    axes = (
        f"The exchange rate between seeing and drawing. Right: sees better ({words.gain.name}, {words.of_gain}). Up: draws "
        f"better ({what}; N = {row.drawing_n:,})."
        if words.sees
        else f"The exchange rate between gain and cost. Right: a higher {words.gain.name} than "
        f"{row.baseline}'s ({words.of_gain}). Up: costs less "
        f"({what}; N = {row.drawing_n:,})."
    )
    return (
        f"{axes} Star: {row.baseline}. Numbers: the adapter's scale, or training step. Bars: {100 * row.confidence:.3g} % "
        "intervals. Grey: the Pareto front by the estimates. Hollow: too few images for a finding."
    )


def exchange_methods(table: pd.DataFrame) -> str:
    """How the exchange rate was computed, for the methods paragraph."""
    row = rows_of(table)[0]
    words = exchange_words(row)
    said = (
        f"What fine-tuning gained in seeing ({words.gain.name} of {row.task}, the same {row.seeing_n:,} questions for every "
        f"strength) was set against what it cost in drawing ({words.cost.name}, N = {row.drawing_n:,})."
        if words.sees
        else f"What fine-tuning gained in {words.gain.name} ({words.of_gain}, the same for every strength) was set against what "
        f"it cost ({words.cost.name}, N = {row.drawing_n:,})."
    )
    if table["gain_kept"].notna().any() or table["cost_paid"].notna().any():
        said += (
            f" Shares of gain and cost are ratios of paired differences over the same {words.counted.split()[0]} or "
            "blocks of prompts, with "
            "Fieller's intervals (Fieller, 1954); they are given only where the difference at full strength is certain."
        )
    margins = [
        f"at most {unit.amount(value)} of {unit.name} {than}"
        for value, unit, than in (
            (row.margin_drawing, words.cost, f"worse than {row.baseline}"),
            (row.margin_seeing, words.gain, "below full strength"),
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
    words = exchange_words(rows[0])
    seen, drawn = words.gain, words.cost
    names = [f"seeing: {seen.name}", f"drawing: {drawn.name}"] if words.sees else [seen.name, drawn.name]
    head = [
        "strength", names[0], "gain", "gain kept", names[1], "difference", "cost paid", "Pareto front", "within the tolerance",
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
