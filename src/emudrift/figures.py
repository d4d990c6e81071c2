"""The figures, in one style: FID against N, and differences between models."""

import math
from itertools import zip_longest
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from emudrift.errors import InputError
from emudrift.extractor_settings import distance_name
from emudrift.files import atomic_path

# Inches: one column of a two-column paper. Drawn at this width, a figure is legible there, and scales up.
COLUMN = 3.5
DOTS_PER_INCH = 400

FID_CAPTION = (
    "FID against the number of generated images N; lower is better. Curves (left): plain FID, which is biased upwards "
    "where N is small; by how much depends on the model, so curves must not be read against each other at small N. "
    "Points with bars (right, same axis): FID corrected for that bias at the largest N, with its {confidence} interval "
    "({method}). Colour: guidance scale. Line and marker: model."
)
SHADED_CAPTION = " Shaded: N below twice the number of feature dimensions, where absolute values are unreliable."
DIFFERENCE_CAPTION = (
    "FID difference from {baseline} at N = {n}: bias-corrected estimate and {confidence} interval ({method}; paired by "
    "prompt, not adjusted for multiple comparisons). Right of 0 a model is worse than "
    "{baseline}. Filled: the interval excludes 0; hollow: no difference found."
)

STYLE: Any = {
    **sns.axes_style("ticks"),
    "font.family": ["sans-serif"],
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.usetex": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "emudrift",
    "svg.fonttype": "path",
}
# Told apart without colour: dash, shape, and whether the marker is filled.
_LINES: tuple[tuple[Any, str, bool], ...] = (
    ("solid", "o", True),
    ((0, (4, 1.6)), "s", False),
    ((0, (1, 1.2)), "^", True),
    ((0, (5, 1.2, 1, 1.2)), "D", False),
    ((0, (8, 1.5)), "v", True),
    ((0, (3, 1, 1, 1, 1, 1)), "P", False),
)
_UNGUIDED = "0.35"
_STEPS = (1, 2, 5, 10)


# --- FID against N ---


def fid_curve(fid: pd.DataFrame, svg: str | Path, png: str | Path, *, width: float = COLUMN) -> None:
    """Draws FID against N for all arms of fid.csv: one panel per extractor.

    The curve is the plain FID. No interval is drawn on it, since intervals belong to the bias-corrected estimate; that
    one has a strip of its own beside the curves, on the same axis, for the largest N. `fid_caption` says so under the
    figure. Equal tables give equal bytes.

    Args:
        fid: a table by `comparison.fid_table`; models get their line styles in the order of the table.
        width: inches; fonts stay the same size.
    """
    if fid.empty:
        raise InputError("fid.csv is empty: there is no FID to draw")
    models = list(fid["model"].unique())
    colours = _colours(fid["guidance_scale"])
    extractors = list(fid["extractor"].unique())
    random = [_random(fid[fid["extractor"] == extractor]) for extractor in extractors]
    heights = [2.05 * max(width / COLUMN, 1) ** 0.5 + (0.34 if flag else 0.22) for flag in random]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, sum(heights) + 0.75), layout="constrained")
        panels = figure.subfigures(len(extractors), 1, squeeze=False, height_ratios=heights)[:, 0]
        for panel, extractor in zip(panels, extractors, strict=True):
            table = fid[fid["extractor"] == extractor]
            curves, strip = panel.subplots(1, 2, sharey=True, width_ratios=[1, _strip(fid)], gridspec_kw={"wspace": 0})
            _draw_curves(curves, table, models, colours)
            _draw_strip(strip, table, models, colours)
            curves.set_ylabel(f"{distance_name(extractor)}  (lower is better)")
            curves.set_xlabel("N, generated images")
            panel.suptitle(_title(table), x=0.01, ha="left", size=7, weight="bold")
        _legend(figure, models, colours, width)
        save_figure(figure, svg, png)


def fid_caption(fid: pd.DataFrame) -> str:
    """What stands under the figure of `fid_curve`."""
    shaded = "" if fid["reliable"].all() else SHADED_CAPTION
    return FID_CAPTION.format(**_interval_words(fid)) + shaded + _random_words(fid)


def _draw_curves(axes: Any, table: pd.DataFrame, models: list[str], colours: dict[str, Any]) -> None:
    dims, largest = int(table["dims"].iloc[0]), int(table["n"].max())
    for _, arm in table.groupby("arm", sort=False):
        line, marker, filled = _line(models, str(arm["model"].iloc[0]))
        colour = colours[_scale_label(arm["guidance_scale"].iloc[0])]
        axes.plot(
            arm["n"], arm["fid"], color=colour, linestyle=line, linewidth=1.1, marker=marker, markersize=3.2,
            markerfacecolor=colour if filled else "white", markeredgewidth=0.8, clip_on=False, zorder=3,
        )  # fmt: skip
    sizes = sorted(table["n"].unique())
    margin = 0.04 * (largest - sizes[0]) or 1
    axes.set_xlim(sizes[0] - margin, largest + margin)
    if not table["reliable"].all():
        axes.axvspan(sizes[0] - margin, min(2 * dims, largest + margin), color="0.95", linewidth=0, zorder=0)
        axes.text(
            0.985,
            0.97,
            f"shaded: N < 2 × {dims:,}",
            transform=axes.transAxes,
            ha="right",
            va="top",
            color="0.35",
            size=6,
        )
    if len(sizes) <= 3:
        axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.yaxis.set_major_formatter(_tick)
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=_STEPS))


def _draw_strip(axes: Any, table: pd.DataFrame, models: list[str], colours: dict[str, Any]) -> None:
    """The corrected FIDs at the largest N, with the intervals that belong to them."""
    last = table[table["n"] == table["n"].max()].sort_values("guidance_scale", kind="stable", na_position="first")
    for place, row in enumerate(_rows(last)):
        _, marker, filled = _line(models, row.model)
        colour = colours[_scale_label(row.guidance_scale)]
        axes.plot([place, place], [row.low, row.high], color=colour, linewidth=0.9, marker="_", markersize=3)
        axes.plot(
            place, row.fid_jackknife, color=colour, marker=marker, markersize=2.8,
            markerfacecolor=colour if filled else "white", markeredgewidth=0.8,
        )  # fmt: skip
    axes.set_xlim(-0.9, len(last) - 0.1)
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(f"corrected,\nN = {last['n'].iloc[0]:,}")
    axes.tick_params(left=False)
    sns.despine(ax=axes, left=True)


def _strip(fid: pd.DataFrame) -> float:
    """Width of the strip, in widths of the panel beside it."""
    return min(0.16 + 0.035 * fid["arm"].nunique(), 0.6)


def _legend(figure: Figure, models: list[str], colours: dict[str, Any], width: float) -> None:
    """Scales in the first row and models in the second, or all in one row where they fit."""
    scales: list[Any] = [Patch(color=colour, label=label) for label, colour in colours.items()]
    lines: list[Any] = []
    for model in models:
        line, marker, filled = _line(models, model)
        lines.append(
            Line2D(
                [], [], color="0.2", linestyle=line, linewidth=1.1, marker=marker, markersize=3.2,
                markerfacecolor="0.2" if filled else "white", markeredgewidth=0.8, label=_short(model, 26),
            )
        )  # fmt: skip
    handles = scales + lines
    fitting = max(1, int(width / (0.052 * max(len(handle.get_label()) for handle in handles) + 0.42)))
    columns = min(fitting, len(handles))
    rows = max(len(scales), len(lines))
    if columns < len(handles) and rows <= fitting:
        # A legend is filled column by column; blanks keep the two rows apart.
        blank = Line2D([], [], linestyle="none", label=" ")
        pairs = zip_longest(scales, lines, fillvalue=blank)
        handles, columns = [handle for pair in pairs for handle in pair], rows
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.4, columnspacing=1.2
    )


# --- differences ---


def comparison_figure(comparison: pd.DataFrame, svg: str | Path, png: str | Path, *, width: float = COLUMN) -> None:
    """Draws each model's FID difference from the baseline with its interval, at the largest N of comparison.csv.

    An empty table gives a figure that says that there is nothing to compare. Equal tables give equal bytes.
    """
    with matplotlib.rc_context(STYLE):
        if comparison.empty:
            figure = Figure(figsize=(width, 0.8))
            figure.text(0.5, 0.5, "There is nothing to compare.", ha="center", va="center")
            save_figure(figure, svg, png)
            return
        table = comparison[comparison["n"] == comparison["n"].max()]
        models, baseline = list(table["model"].unique()), str(table["baseline"].iloc[0])
        colours = _colours(table["guidance_scale"])
        panels = [panel for _, panel in table.groupby("extractor", sort=False)]
        heights = [(1.0 if _random(panel) else 0.88) + 0.2 * len(panel) for panel in panels]
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        places = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, panel in zip(places, panels, strict=True):
            axes = place.subplots()
            _draw_forest(axes, panel, models, colours)
            name = distance_name(str(panel["extractor"].iloc[0]))
            axes.set_xlabel(f"{name} difference from {_short(baseline, 30)}, N = {table['n'].iloc[0]:,}")
            place.suptitle(_title(panel), x=0.01, ha="left", size=7, weight="bold")
        save_figure(figure, svg, png)


def comparison_caption(comparison: pd.DataFrame) -> str:
    """What stands under the figure of `comparison_figure`; nothing if there is nothing to compare."""
    if comparison.empty:
        return ""
    words = _interval_words(comparison) | {
        "baseline": comparison["baseline"].iloc[0],
        "n": f"{comparison['n'].max():,}",
    }
    return DIFFERENCE_CAPTION.format(**words) + _random_words(comparison)


def _draw_forest(axes: Any, table: pd.DataFrame, models: list[str], colours: dict[str, Any]) -> None:
    axes.axvline(0, color="0.2", linewidth=0.8, zorder=1)
    names = []
    for place, row in enumerate(_rows(table)):
        label = _scale_label(row.guidance_scale)
        found = row.low > 0 or row.high < 0
        marker = _LINES[models.index(row.model) % len(_LINES)][1]
        axes.plot(
            [row.low, row.high], [place, place], color=colours[label], linewidth=1.4, solid_capstyle="butt", zorder=2
        )
        axes.plot(
            row.difference_jackknife, place, color=colours[label], marker=marker, markersize=4.2, markeredgewidth=1,
            markerfacecolor=colours[label] if found else "white", zorder=3,
        )  # fmt: skip
        names.append(label if len(models) == 1 else f"{_short(row.model, 18)}, {label}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(_tick)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    # Room for a word on either side of 0.
    low, high = min(table["low"].min(), 0.0), max(table["high"].max(), 0.0)
    room = 0.25 * ((high - low) or 1.0)
    axes.set_xlim(min(low - 0.04 * (high - low), -room), max(high + 0.04 * (high - low), room))
    for text, side, offset in (("← better", "right", -4), ("worse →", "left", 4)):
        axes.annotate(
            text, (0, 1), (offset, 2), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
            ha=side, va="bottom", size=6, color="0.35",
        )  # fmt: skip
    sns.despine(ax=axes, left=True)


# --- what the figures share ---


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples(index=False))


def _scale_label(scale: float | None) -> str:
    return "no guidance scale" if scale is None or math.isnan(scale) else f"guidance {scale:g}"


def _colours(scales: pd.Series) -> dict[str, Any]:
    """A colour for each guidance scale: dark to light with the scale, so that their order survives grey print."""
    known = sorted(scales.dropna().unique())
    places = np.linspace(0.0, 0.78, len(known)) if len(known) > 1 else np.full(len(known), 0.3)
    colours = dict(zip(map(_scale_label, known), matplotlib.colormaps["viridis"](places), strict=True))
    return colours | ({_scale_label(None): _UNGUIDED} if scales.isna().any() else {})


def _line(models: list[str], model: str) -> tuple[Any, str, bool]:
    return _LINES[models.index(model) % len(_LINES)]


def _title(table: pd.DataFrame) -> str:
    warning = "\nrandom weights: means nothing outside this experiment" if _random(table) else ""
    # The first sentence of the experiment's note: a demo stays labelled where the figure goes alone.
    note = str(table["note"].iloc[0]).partition(". ")[0]
    return f"{table['extractor'].iloc[0]}{warning}" + (f"\n{_short(note, 64)}" if note else "")


def _random(table: pd.DataFrame) -> bool:
    return bool((table["weights"] == "random").any())


def _random_words(table: pd.DataFrame) -> str:
    if not _random(table):
        return ""
    return " Extractors with random weights give numbers that mean nothing outside this experiment."


def _interval_words(table: pd.DataFrame) -> dict[str, str]:
    return {"confidence": f"{table['confidence'].iloc[0] * 100:.3g} %", "method": str(table["method"].iloc[0])}


def _tick(value: float, _: int | None = None) -> str:
    return f"{value:,.6g}".replace("-", "−")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def save_figure(
    figure: Figure, svg: str | Path | None, png: str | Path | None, *, dots_per_inch: int = DOTS_PER_INCH
) -> None:
    """Writes without time, version or anything else that varies between runs."""
    if svg is not None:
        with atomic_path(svg) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    if png is not None:
        with atomic_path(png) as temporary:
            figure.savefig(temporary, format="png", dpi=dots_per_inch, metadata={"Software": None})
