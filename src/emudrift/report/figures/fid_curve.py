"""Figure: FID against N."""

import math
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from emudrift.config.extractors import distance_name
from emudrift.errors import InputError
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION
from emudrift.report.figures.captions import banded, has_random, panels_of
from emudrift.report.figures.style import (
    COLUMN,
    STEPS,
    STYLE,
    colours_of,
    forest_rows,
    look_of,
    panel_title,
    save_figure,
    scale_label,
    shortened,
    tick_label,
)


def fid_curve(fid: pd.DataFrame, path: str | Path, *, floors: Sequence[str] = (), width: float = COLUMN) -> None:
    """Plots FID against N for all arms of fid.csv: one panel per extractor and reference selection.

    Curves show the plain FID without intervals, since the intervals belong to the bias-corrected estimate and to FID∞;
    those are plotted for the largest N in two narrow strips next to the curves, on the same axis (see `fid_caption`).
    Equal tables give identical bytes.

    Args:
        fid: table from `comparison.fid_table`; line styles are assigned to models in the order of the table.
        path: without suffix; writes .svg, .pdf, .png, and the plotted values as -data.csv.
        floors: models that generate nothing (real images encoded and decoded by a tokenizer); dotted lines.
        width: inches; font sizes do not change with it.
    """
    if fid.empty:
        raise InputError("fid.csv is empty: there is no FID to plot")
    models = list(fid["model"].unique())
    looks = {model: look_of(models, model, floors) for model in models}
    colours = colours_of(fid["guidance_scale"])
    panels = panels_of(fid)
    random = [has_random(table) for _, table in panels]
    heights = [2.15 * max(width / COLUMN, 1) ** 0.5 + (0.4 if flag else 0.28) for flag in random]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, sum(heights) + 0.8), layout="constrained")
        places = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, (title, table) in zip(places, panels, strict=True):
            strip = _strip(fid)
            axes = place.subplots(1, 3, sharey=True, width_ratios=[1, strip, strip], gridspec_kw={"wspace": 0})
            _draw_curves(axes[0], table, looks, colours)
            last = table[table["n"] == table["n"].max()]
            _draw_strip(axes[1], last, ("fid_jackknife", "low", "high"), looks, colours)
            _draw_strip(axes[2], last, ("fid_infinity", "fid_infinity_low", "fid_infinity_high"), looks, colours)
            axes[1].set_xlabel(f"corrected\nN = {last['n'].iloc[0]:,}")
            axes[2].set_xlabel("FID∞\nN → ∞" if distance_name(title) == "FID" else "FD∞\nN → ∞")
            axes[0].set_ylabel(f"{distance_name(title)}  (lower is better)")
            axes[0].set_xlabel("N, generated images")
            place.suptitle(panel_title(title, table), x=0.01, ha="left", weight="bold")
        _legend(figure, looks, colours, floors, width)
        save_figure(figure, path, fid)


def _draw_curves(axes: Any, table: pd.DataFrame, looks: dict[str, Any], colours: dict[str, Any]) -> None:
    dims, largest = int(table["dims"].iloc[0]), int(table["n"].max())
    for _, arm in table.groupby("arm", sort=False):
        line, marker, filled = looks[str(arm["model"].iloc[0])]
        colour = colours[scale_label(arm["guidance_scale"].iloc[0])]
        band = banded(arm)
        if len(band):
            axes.fill_between(band["n"], band["low"], band["high"], color=colour, alpha=0.15, linewidth=0, zorder=1)
        axes.plot(
            arm["n"], arm["fid"], color=colour, linestyle=line, linewidth=1.1, marker=marker, markersize=3.2,
            markerfacecolor=colour if filled else "white", markeredgewidth=0.8, clip_on=False, zorder=3,
        )  # fmt: skip
    sizes = sorted(table["n"].unique())
    margin = 0.04 * (largest - sizes[0]) or 1
    axes.set_xlim(sizes[0] - margin, largest + margin)
    if not table["reliable"].all():
        axes.axvspan(
            sizes[0] - margin, min(MIN_N_PER_DIMENSION * dims, largest + margin), color="0.95", linewidth=0, zorder=0
        )
        axes.text(
            0.985, 0.97, f"shaded: N < {MIN_N_PER_DIMENSION:g} × {dims:,}",
            transform=axes.transAxes, ha="right", va="top", color="0.35",
        )  # fmt: skip
    if len(sizes) <= 3:
        axes.set_xticks(sizes)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.yaxis.set_major_formatter(tick_label)
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=STEPS))


def _draw_strip(
    axes: Any, last: pd.DataFrame, columns: tuple[str, str, str], looks: dict[str, Any], colours: dict[str, Any]
) -> None:
    """Plots estimates at the largest N with their intervals; `columns`: estimate, low, high."""
    ordered = last.sort_values("guidance_scale", kind="stable", na_position="first")
    for place, row in enumerate(forest_rows(ordered)):
        estimate, low, high = (getattr(row, column) for column in columns)
        if math.isnan(estimate):
            continue
        _, marker, filled = looks[row.model]
        colour = colours[scale_label(row.guidance_scale)]
        axes.plot([place, place], [low, high], color=colour, linewidth=0.9, marker="_", markersize=3)
        axes.plot(
            place, estimate, color=colour, marker=marker, markersize=2.8,
            markerfacecolor=colour if filled else "white", markeredgewidth=0.8,
        )  # fmt: skip
    axes.set_xlim(-0.9, len(last) - 0.1)
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")
    axes.tick_params(left=False)
    sns.despine(ax=axes, left=True)


def _strip(fid: pd.DataFrame) -> float:
    """Width of a strip relative to the panel next to it: room for its arms and its axis label."""
    return min(0.2 + 0.02 * fid["arm"].nunique(), 0.5)


def _legend(
    figure: Figure, looks: dict[str, Any], colours: dict[str, Any], floors: Sequence[str], width: float
) -> None:
    """Guidance scales in the first row and models in the second, or a single row if everything fits."""
    scales: list[Any] = [Patch(color=colour, label=label) for label, colour in colours.items()]
    lines: list[Any] = []
    for model, (line, marker, filled) in looks.items():
        label = shortened(model, 26) + (" (floor)" if model in floors else "")
        lines.append(
            Line2D(
                [], [], color="0.2", linestyle=line, linewidth=1.1, marker=marker, markersize=3.2,
                markerfacecolor="0.2" if filled else "white", markeredgewidth=0.8, label=label,
            )
        )  # fmt: skip
    handles = scales + lines
    fitting = max(1, int(width / (0.058 * max(len(handle.get_label()) for handle in handles) + 0.45)))
    columns = min(fitting, len(handles))
    rows = max(len(scales), len(lines))
    if columns < len(handles) and rows <= fitting:
        # Legends are filled column by column; blanks keep the two rows separate.
        blank = Line2D([], [], linestyle="none", label=" ")
        pairs = zip_longest(scales, lines, fillvalue=blank)
        handles, columns = [handle for pair in pairs for handle in pair], rows
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.4, columnspacing=1.2
    )
