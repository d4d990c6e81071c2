"""Forest plot of FID differences between models, with intervals."""

import math
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emudrift.config.extractors import distance_name
from emudrift.evaluation.findings import BETTER, WORSE
from emudrift.evaluation.tables import at_largest_n
from emudrift.report.elements.wording import interval_text
from emudrift.report.figures.captions import labels_of, panels_of
from emudrift.report.figures.style import (
    COLUMN,
    STEPS,
    STYLE,
    colours_of,
    forest_rows,
    look_of,
    save_figure,
    scale_label,
    shortened,
    tick_label,
    title_panel,
    with_tip,
)


def comparison_figure(comparison: pd.DataFrame, path: str | Path, *, width: float = COLUMN) -> None:
    """Plots each model's FID difference from the baseline with its interval, at the largest N of comparison.csv.

    One panel per extractor, reference selection and set of prompts, one row per model and guidance scale. For an empty table the
    figure only states that there is nothing to compare. Equal tables give identical bytes.

    Args:
        path: without suffix; writes .svg, .pdf, .png, and the plotted values as -data.csv.
    """
    with matplotlib.rc_context(STYLE):
        if comparison.empty:
            figure = Figure(figsize=(width, 0.8))
            figure.text(0.5, 0.5, "There is nothing to compare.", ha="center", va="center")
            save_figure(figure, path, comparison)
            return
        table = at_largest_n(comparison)
        baseline = str(table["baseline"].iloc[0])
        models = [baseline, *(each for each in table["model"].unique() if each != baseline)]
        panels = panels_of(table)
        heights = [0.82 + 0.12 * len(labels_of(panel)) + 0.23 * len(panel) for _, panel in panels]
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        places = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, (title, panel) in zip(places, panels, strict=True):
            axes = place.subplots()
            # Panels of one extractor and reference have one unit: sets of prompts are seen on the same axis.
            alike = (table["extractor"] == panel["extractor"].iloc[0]) & (
                table["reference_selection"] == panel["reference_selection"].iloc[0]
            )
            _draw_forest(axes, panel, models, table[alike])
            name = distance_name(str(panel["extractor"].iloc[0]))
            axes.set_xlabel(
                f"{name} difference from {shortened(baseline, 30)}, N = {panel['n'].iloc[0]:,}", loc="right"
            )
            title_panel(place, title, panel)
        save_figure(figure, path, table)


def _draw_forest(axes: Any, table: pd.DataFrame, models: list[str], alike: pd.DataFrame) -> None:
    """Args: alike: the rows of all panels that share the axis."""
    colours = colours_of(models)
    axes.axvline(0, color="0.2", linewidth=0.8, zorder=1)
    margin = float(table["margin"].iloc[0])
    if not math.isnan(margin):
        axes.axvspan(-margin, margin, color="0.93", linewidth=0, zorder=0)
    names = []
    for place, row in enumerate(forest_rows(table)):
        label, colour = scale_label(row.guidance_scale), colours[row.model]
        found = row.finding in (WORSE, BETTER)
        _, marker, _ = look_of(models, row.model)
        axes.plot([row.low_simultaneous, row.high_simultaneous], [place, place], color=colour, linewidth=0.6, zorder=2)
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
        drawn = axes.plot(
            row.difference_jackknife, place, color=colour, marker=marker, markersize=4.2, markeredgewidth=1,
            markerfacecolor=colour if found else "white", zorder=3,
        )  # fmt: skip
        difference, interval = interval_text(row)
        with_tip(drawn, f"{row.model} − {row.baseline}, {label}: {difference} [{interval}], {row.finding}")
        if not math.isnan(row.difference_infinity):
            below = place + 0.33
            axes.plot([row.infinity_low, row.infinity_high], [below, below], color="0.55", linewidth=0.7, zorder=2)
            axes.plot(row.difference_infinity, below, color="0.55", marker="|", markersize=4, zorder=3)
        names.append(label if len(models) == 2 else f"{shortened(row.model, 20)}, {label}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(tick_label)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    # Leaves room for "better" and "worse" on both sides of 0.
    edge = 0.0 if math.isnan(margin) else margin
    low = min(alike[["low_simultaneous", "infinity_low"]].min().min(), -edge)
    high = max(alike[["high_simultaneous", "infinity_high"]].max().max(), edge)
    room = 0.3 * ((high - low) or 1.0)
    axes.set_xlim(min(low - 0.04 * (high - low), -room), max(high + 0.04 * (high - low), room))
    for text, side, offset in (("← better", "right", -4), ("worse →", "left", 4)):
        axes.annotate(
            text, (0, 1), (offset, 2), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
            ha=side, va="bottom", color="0.35",
        )  # fmt: skip
    sns.despine(ax=axes, left=True)
