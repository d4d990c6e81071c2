"""The steps of a ladder, and what they are compared with, as rows of its figure and table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from emudrift.evaluation.ladder import LadderRecord
from emudrift.evaluation.tables import of_set, rows_of
from emudrift.report.figures.captions import extractor_title

KIND_NAMES = {"jpeg": "JPEG", "blur": "blur", "diversity": "diversity", "real": "real against real"}


@dataclass(frozen=True)
class Mark:
    """A size with its interval: of a step, of a difference between models, or of a tokenizer's floor."""

    kind: str
    label: str
    size: float
    low: float
    high: float


def marks_of(
    extractor: str, ladder: LadderRecord, comparison: pd.DataFrame, fid: pd.DataFrame, floors: list[str]
) -> list[Mark]:
    """The steps of an extractor's ladder, from mild to severe in each kind; then the differences and floors at the largest N.

    A difference is shown by its size: the interval of a negative one is turned round.
    """
    marks = [Mark(step.kind, step.label, step.distance, step.low, step.high) for step in ladder.rungs]
    ours = comparison[(comparison["extractor"] == extractor) & (comparison["n"] == comparison["n"].max())]
    for row in rows_of(ours):
        sign = 1 if row.difference_jackknife >= 0 else -1
        ends = sorted((sign * row.low_simultaneous, sign * row.high_simultaneous))
        scale = "" if pd.isna(row.guidance_scale) else f", guidance {row.guidance_scale:g}"
        same = ", same images" if row.reference_selection == "same" else ""
        marks.append(
            Mark("difference", f"{row.model}{scale}{same}: {row.finding}", abs(row.difference_jackknife), *ends)
        )
    theirs = fid[(fid["extractor"] == extractor) & (fid["n"] == fid["n"].max()) & fid["model"].isin(floors)]
    for row in rows_of(theirs):
        same = ", same images" if row.reference_selection == "same" else ""
        marks.append(Mark("floor", f"{row.model} (floor){same}", row.fid_jackknife, row.low, row.high))
    return marks


@dataclass(frozen=True)
class LadderPanel:
    """The ladder of one extractor on one set of prompts, with what is compared with it; `fid`: its rows of fid.csv."""

    prompt_set: str
    extractor: str
    title: str
    ladder: LadderRecord
    marks: list[Mark]
    fid: pd.DataFrame


def panels_of_ladders(
    ladders: Mapping[str, Mapping[str, LadderRecord]], comparison: pd.DataFrame, fid: pd.DataFrame, floors: list[str]
) -> list[LadderPanel]:
    """Args: ladders: by set of prompts and extractor; comparison, fid: comparison.csv and fid.csv."""
    panels = []
    for prompt_set, of_extractors in ladders.items():
        ours, distances = of_set(comparison, prompt_set), of_set(fid, prompt_set)
        for name, ladder in of_extractors.items():
            title = extractor_title(name, fid)
            title = f"{prompt_set}: {title}" if len(ladders) > 1 else title
            marks = marks_of(name, ladder, ours, distances, floors)
            panels.append(
                LadderPanel(prompt_set, name, title, ladder, marks, distances[distances["extractor"] == name])
            )
    return panels


def marks_table(panels: Sequence[LadderPanel]) -> pd.DataFrame:
    """The plotted numbers: extractor, kind, label, size, low, high; before them the set of prompts, where there are several."""
    several = len({panel.prompt_set for panel in panels}) > 1
    return pd.DataFrame(
        [
            ({"prompt_set": panel.prompt_set} if several else {}) | {"extractor": panel.extractor, **vars(mark)}
            for panel in panels
            for mark in panel.marks
        ]
    )
