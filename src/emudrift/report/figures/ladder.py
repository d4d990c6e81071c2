"""Figure: the ladder of known degradations, with the differences between models beside it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from emudrift.config.extractors import distance_name
from emudrift.evaluation.ladder import LadderRecord
from emudrift.report.elements.ladder import KIND_NAMES, marks_table, panels_of_ladders
from emudrift.report.elements.wording import decimals, number
from emudrift.report.figures.captions import labels_of
from emudrift.report.figures.style import COLUMN, STYLE, save_figure, shortened, tick_label, title_panel, with_tip

COLOURS = {"jpeg": "#33638d", "blur": "#0f7f66", "diversity": "#7a5195", "real": "0.45"}


def ladder_figure(
    ladders: Mapping[str, Mapping[str, LadderRecord]],
    comparison: pd.DataFrame,
    fid: pd.DataFrame,
    path: str | Path,
    *,
    floors: list[str],
    width: float = COLUMN,
) -> None:
    """Plots each step of each ladder with its interval, one panel per extractor and set of prompts, on an axis that is linear
    near 0 and logarithmic above; below them the sizes of the differences between models, and the tokenizers' floors, at the
    largest N.

    Equal inputs give identical bytes.

    Args:
        ladders: by set of prompts and extractor.
        comparison, fid: comparison.csv and fid.csv.
        path: without suffix; writes .svg, .pdf, .png, and the plotted values as -data.csv.
        floors: models that are a tokenizer's reconstructions.
    """
    with matplotlib.rc_context(STYLE):
        panels = panels_of_ladders(ladders, comparison, fid, floors)
        heights = [0.6 + 0.12 * len(labels_of(panel.fid)) + 0.17 * len(panel.marks) for panel in panels]
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        places = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, panel in zip(places, panels, strict=True):
            axes = place.subplots()
            _draw(axes, panel.marks)
            axes.set_xlabel(f"size in {distance_name(panel.extractor)}", loc="right")
            title_panel(place, panel.title, panel.fid)
        save_figure(figure, path, marks_table(panels))


def _draw(axes: Any, marks: list[Any]) -> None:
    sizes = [mark.size for mark in marks if mark.size > 0]
    # Linear up to the decade of the mildest step, so that 0 has a place.
    lowest, highest = (math.floor(math.log10(end)) for end in (min(sizes), max(sizes)))
    axes.set_xscale("symlog", linthresh=10.0**lowest, linscale=0.4)
    for place, mark in enumerate(marks):
        colour = COLOURS.get(mark.kind, "0.1")
        axes.plot([max(mark.low, 0), max(mark.high, 0)], [place, place], color=colour, linewidth=1.2)
        shown = axes.plot(
            mark.size, place, color=colour, marker="D" if mark.kind in KIND_NAMES else "o", markersize=3.5
        )
        low, high, size = (
            number(each, decimals(mark.high - mark.low, mark.size)) for each in (mark.low, mark.high, mark.size)
        )
        with_tip(shown, f"{mark.label}: {size} [{low} to {high}]")
    first = next((place for place, mark in enumerate(marks) if mark.kind not in KIND_NAMES), None)
    if first is not None:
        axes.axhline(first - 0.5, color="0.7", linewidth=0.6)
    axes.set_yticks(range(len(marks)), [shortened(mark.label, 36) for mark in marks])
    axes.set_ylim(len(marks) - 0.4, -0.6)
    axes.set_xlim(0, 1.6 * max([*sizes, *(mark.high for mark in marks)]))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    # Among many, the first decade would stand on the 0.
    first_decade = lowest if highest - lowest > 2 else lowest - 1
    decades = range(highest, first_decade, -max(1, math.ceil((highest - lowest) / 3)))  # Names of small ones are long.
    axes.set_xticks([0, *(10.0**decade for decade in sorted(decades))])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(tick_label)
    sns.despine(ax=axes, left=True)
