"""The section on the size of differences: the ladder as a table."""

from collections.abc import Sequence

import pandas as pd

from emudrift.config.extractors import distance_name
from emudrift.report.elements.blocks import Cell, Picture, Table, csv_of, data_uri
from emudrift.report.elements.ladder import KIND_NAMES, LadderPanel, marks_table
from emudrift.report.elements.wording import decimals, number
from emudrift.report.figures.captions import labels_of

CAPTION = (
    "What known degradations cost real images of the reference (points with 95 % intervals; the axis is linear near 0 and "
    "logarithmic above), and below the line the differences between models and the tokenizer's floor at the largest N. JPEG and "
    "blur: real images against the same real images undegraded; blur in pixels of an image of 256. Diversity: so many different "
    "real images against the whole reference. Other real images: what a set of that size has against the rest of the reference, "
    "not corrected for its size."
)
LEAD = (
    "The differences between models next to known degradations of real images, by the same extractor. Exchanging captions "
    "between images is no step: it moves no image, so no distance between sets of images sees it."
)


def ladder_picture(svg: bytes, panels: Sequence[LadderPanel]) -> Picture:
    """The figure by `figures.ladder.ladder_figure`, with its numbers to download."""
    data = data_uri(csv_of(marks_table(panels)).encode(), "text/csv;charset=utf-8")
    said = "What known degradations cost, with the differences between models; the numbers are in the table below"
    return Picture(svg, said, CAPTION, data, "ladder", labels_of(pd.concat([panel.fid for panel in panels])))


def ladder_tables(panels: Sequence[LadderPanel]) -> list[Table]:
    """One table per extractor and set of prompts: each step, difference and floor with its size."""
    tables = []
    for panel in panels:
        rows = []
        for mark in panel.marks:
            places = decimals(mark.high - mark.low, mark.size)
            low, high, size = (number(each, places) for each in (mark.low, mark.high, mark.size))
            kind = KIND_NAMES.get(mark.kind, {"difference": "difference between models"}.get(mark.kind, "tokenizer"))
            numbers = (
                Cell(size, style="number", value=mark.size),
                Cell(f"{low} to {high}", style="number", value=mark.low),
            )
            rows.append([Cell(mark.label), Cell(kind), *numbers])
        ladder = panel.ladder
        note = f"{ladder.n:,} of {ladder.reference_n:,} real images were degraded."
        if not ladder.reliable:
            note += (
                f" For {ladder.dims:,} feature dimensions these are too few: no difference is expressed in these steps."
            )
        head = ["what", "kind", distance_name(panel.extractor), "95 % interval"]
        tables.append(Table(panel.title, head, rows, note=note))
    return tables
