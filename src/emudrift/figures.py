"""The figures, in one style: FID against N, and differences between models."""

import math
from collections.abc import Sequence
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
from emudrift.experiment import SELECTIONS
from emudrift.extractor_settings import distance_name
from emudrift.files import atomic_path, write_bytes_atomically

# Inches: one column of a two-column paper. Drawn at this width, a figure is legible there, and scales up.
COLUMN = 3.5
DOTS_PER_INCH = 400

FID_CAPTION = (
    "FID against the number of generated images N; lower is better. Curves (left): plain FID, which is biased upwards "
    "where N is small; by how much depends on the model, so curves must not be read against each other at small N. "
    "Points with bars (right, same axis), both with {confidence} intervals ({method}): FID corrected for that bias at the "
    "largest N, and FID∞, the end of a line in 1/N. Colour: guidance scale. Line and marker: model."
)
FLOOR_CAPTION = (
    " Dotted: the floor of {floors}, the real images through the VQ and back, which no arm of the model can beat."
)
BAND_CAPTION = (
    " Bands: the intervals of the corrected FID at smaller N, down to twice the number of feature dimensions."
)
SHADED_CAPTION = " Shaded: N below twice the number of feature dimensions, where absolute values are unreliable."
DIFFERENCE_CAPTION = (
    "FID difference from {baseline} at N = {n}: bias-corrected estimate and {confidence} interval ({method}; paired by "
    "prompt), thick, and thin as adjusted for all these comparisons (Holm). Right of 0 a model is worse than {baseline}. "
    "Filled: the adjusted interval excludes 0; hollow: no difference found. Grey, below each: the difference of FID∞ "
    "with its interval."
)

STYLE: Any = dict(
    matplotlib.rc_params_from_file(str(Path(__file__).with_name("emudrift.mplstyle")), use_default_template=False)
)
# Told apart without colour: dash, shape, and whether the marker is filled.
_LINES: tuple[tuple[Any, str, bool], ...] = (
    ("solid", "o", True),
    ((0, (4, 1.6)), "s", False),
    ((0, (2, 1.2)), "^", True),
    ((0, (5, 1.2, 1, 1.2)), "D", False),
    ((0, (8, 1.5)), "v", True),
    ((0, (3, 1, 1, 1, 1, 1)), "P", False),
    ((0, (6, 1, 2, 1)), "X", True),
    ((0, (10, 2, 1, 2)), "<", False),
    ((0, (1.5, 1.5)), ">", True),
    ((0, (7, 1, 1, 1, 1, 1)), "p", False),
    ((0, (3, 3)), "h", True),
    ((0, (12, 2)), "*", False),
)
_FLOOR: Any = (0, (1, 1.2))
_UNGUIDED = "0.35"
_STEPS = (1, 2, 5, 10)


# --- FID against N ---


def fid_curve(fid: pd.DataFrame, path: str | Path, *, floors: Sequence[str] = (), width: float = COLUMN) -> None:
    """Draws FID against N for all arms of fid.csv: one panel per extractor and selection of the reference.

    The curve is the plain FID. No interval is drawn on it, since intervals belong to the bias-corrected estimate and to
    FID∞; these have strips of their own beside the curves, on the same axis, for the largest N. `fid_caption` says so
    under the figure. Equal tables give equal bytes.

    Args:
        fid: a table by `comparison.fid_table`; models get their line styles in the order of the table.
        path: without ending; writes .svg, .pdf, .png, and what is drawn as -data.csv.
        floors: models that draw nothing, the real images through a tokenizer; dotted.
        width: inches; fonts stay the same size.
    """
    if fid.empty:
        raise InputError("fid.csv is empty: there is no FID to draw")
    models = list(fid["model"].unique())
    looks = {model: _look(models, model, floors) for model in models}
    colours = _colours(fid["guidance_scale"])
    panels = panels_of(fid)
    random = [_random(table) for _, table in panels]
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
            place.suptitle(_title(title, table), x=0.01, ha="left", weight="bold")
        _legend(figure, looks, colours, floors, width)
        save_figure(figure, path, fid)


def fid_caption(fid: pd.DataFrame, floors: Sequence[str] = ()) -> str:
    """What stands under the figure of `fid_curve`."""
    shaded = "" if fid["reliable"].all() else SHADED_CAPTION
    floor = FLOOR_CAPTION.format(floors=", ".join(floors)) if floors else ""
    bands = BAND_CAPTION if any(len(_banded(arm)) for _, arm in fid.groupby(["arm", "reference_key"])) else ""
    return FID_CAPTION.format(**_interval_words(fid)) + bands + floor + shaded + _random_words(fid)


def _banded(arm: pd.DataFrame) -> pd.DataFrame:
    """The points of an arm whose intervals are drawn as a band: where they are valid, if that is at two N at least."""
    valid = arm[arm["reliable"]]
    return valid if valid["n"].nunique() > 1 else valid[:0]


def _draw_curves(axes: Any, table: pd.DataFrame, looks: dict[str, Any], colours: dict[str, Any]) -> None:
    dims, largest = int(table["dims"].iloc[0]), int(table["n"].max())
    for _, arm in table.groupby("arm", sort=False):
        line, marker, filled = looks[str(arm["model"].iloc[0])]
        colour = colours[_scale_label(arm["guidance_scale"].iloc[0])]
        band = _banded(arm)
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
        axes.axvspan(sizes[0] - margin, min(2 * dims, largest + margin), color="0.95", linewidth=0, zorder=0)
        axes.text(
            0.985, 0.97, f"shaded: N < 2 × {dims:,}", transform=axes.transAxes, ha="right", va="top", color="0.35"
        )  # fmt: skip
    if len(sizes) <= 3:
        axes.set_xticks(sizes)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.yaxis.set_major_formatter(_tick)
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=_STEPS))


def _draw_strip(
    axes: Any, last: pd.DataFrame, columns: tuple[str, str, str], looks: dict[str, Any], colours: dict[str, Any]
) -> None:
    """Estimates at the largest N with the intervals that belong to them; `columns`: estimate, low, high."""
    ordered = last.sort_values("guidance_scale", kind="stable", na_position="first")
    for place, row in enumerate(_rows(ordered)):
        estimate, low, high = (getattr(row, column) for column in columns)
        if math.isnan(estimate):
            continue
        _, marker, filled = looks[row.model]
        colour = colours[_scale_label(row.guidance_scale)]
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
    """Width of a strip, in widths of the panel beside it: room for its arms, and for the words under it."""
    return min(0.2 + 0.02 * fid["arm"].nunique(), 0.5)


def _legend(
    figure: Figure, looks: dict[str, Any], colours: dict[str, Any], floors: Sequence[str], width: float
) -> None:
    """Scales in the first row and models in the second, or all in one row where they fit."""
    scales: list[Any] = [Patch(color=colour, label=label) for label, colour in colours.items()]
    lines: list[Any] = []
    for model, (line, marker, filled) in looks.items():
        label = _short(model, 26) + (" (floor)" if model in floors else "")
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
        # A legend is filled column by column; blanks keep the two rows apart.
        blank = Line2D([], [], linestyle="none", label=" ")
        pairs = zip_longest(scales, lines, fillvalue=blank)
        handles, columns = [handle for pair in pairs for handle in pair], rows
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.4, columnspacing=1.2
    )


# --- differences ---


def comparison_figure(comparison: pd.DataFrame, path: str | Path, *, width: float = COLUMN) -> None:
    """Draws each model's FID difference from the baseline with its interval, at the largest N of comparison.csv.

    A panel per extractor and selection of the reference, a line per model and guidance scale. An empty table gives a figure
    that says that there is nothing to compare. Equal tables give equal bytes.

    Args:
        path: without ending; writes .svg, .pdf, .png, and what is drawn as -data.csv.
    """
    with matplotlib.rc_context(STYLE):
        if comparison.empty:
            figure = Figure(figsize=(width, 0.8))
            figure.text(0.5, 0.5, "There is nothing to compare.", ha="center", va="center")
            save_figure(figure, path, comparison)
            return
        table = comparison[comparison["n"] == comparison["n"].max()]
        models, baseline = list(table["model"].unique()), str(table["baseline"].iloc[0])
        colours = _colours(table["guidance_scale"])
        panels = panels_of(table)
        heights = [(1.06 if _random(panel) else 0.94) + 0.23 * len(panel) for _, panel in panels]
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        places = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, (title, panel) in zip(places, panels, strict=True):
            axes = place.subplots()
            _draw_forest(axes, panel, models, colours)
            name = distance_name(title)
            axes.set_xlabel(f"{name} difference from {_short(baseline, 30)}, N = {table['n'].iloc[0]:,}", loc="right")
            place.suptitle(_title(title, panel), x=0.01, ha="left", weight="bold")
        save_figure(figure, path, table)


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
        found = row.low_holm > 0 or row.high_holm < 0
        # The first look is the baseline's, in the other figure.
        marker = _LINES[(models.index(row.model) + 1) % len(_LINES)][1]
        axes.plot([row.low_holm, row.high_holm], [place, place], color=colours[label], linewidth=0.6, zorder=2)
        axes.plot(
            [row.low, row.high], [place, place], color=colours[label], linewidth=1.4, solid_capstyle="butt", zorder=2
        )
        axes.plot(
            row.difference_jackknife, place, color=colours[label], marker=marker, markersize=4.2, markeredgewidth=1,
            markerfacecolor=colours[label] if found else "white", zorder=3,
        )  # fmt: skip
        if not math.isnan(row.difference_infinity):
            below = place + 0.33
            axes.plot([row.infinity_low, row.infinity_high], [below, below], color="0.55", linewidth=0.7, zorder=2)
            axes.plot(row.difference_infinity, below, color="0.55", marker="|", markersize=4, zorder=3)
        names.append(label if len(models) == 1 else f"{_short(row.model, 20)}, {label}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(_tick)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    # Room for a word on either side of 0.
    low = min(table[["low_holm", "infinity_low"]].min().min(), 0.0)
    high = max(table[["high_holm", "infinity_high"]].max().max(), 0.0)
    room = 0.3 * ((high - low) or 1.0)
    axes.set_xlim(min(low - 0.04 * (high - low), -room), max(high + 0.04 * (high - low), room))
    for text, side, offset in (("← better", "right", -4), ("worse →", "left", 4)):
        axes.annotate(
            text, (0, 1), (offset, 2), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
            ha=side, va="bottom", color="0.35",
        )  # fmt: skip
    sns.despine(ax=axes, left=True)


# --- what the figures share ---


def panels_of(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The parts of a table that are drawn and tabled apart: by extractor, and by selection of the reference where it has two.

    Each with its title, which begins with the extractor's name.
    """
    panels = []
    for extractor, whole in table.groupby("extractor", sort=False):
        parts = [(str(selection), part) for selection, part in whole.groupby("reference_selection", sort=False)]
        panels += [
            (str(extractor) if len(parts) == 1 else f"{extractor}, reference: {SELECTIONS[selection]}", part)
            for selection, part in parts
        ]
    return panels


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


def _look(models: list[str], model: str, floors: Sequence[str]) -> tuple[Any, str, bool]:
    """Line, marker, and whether that is filled."""
    line, marker, filled = _LINES[models.index(model) % len(_LINES)]
    return (_FLOOR if model in floors else line), marker, filled


def _title(title: str, table: pd.DataFrame) -> str:
    warning = "\nrandom weights: means nothing outside this experiment" if _random(table) else ""
    # The first sentence of the experiment's note: a demo stays labelled where the figure goes alone.
    note = str(table["note"].iloc[0]).partition(". ")[0]
    note = note if len(note) <= 60 else f"{note[:59]}…"
    return f"{_short(title, 60)}{warning}" + (f"\n{note}" if note else "")


def _random(table: pd.DataFrame) -> bool:
    return bool((table["weights"] == "random").any())


def _random_words(table: pd.DataFrame) -> str:
    if not _random(table):
        return ""
    return " Extractors with random weights give numbers that mean nothing outside this experiment."


def _interval_words(table: pd.DataFrame) -> dict[str, str]:
    """How the intervals at the largest N were made, which are those that are drawn."""
    last = table[table["n"] == table["n"].max()]
    return {
        "confidence": f"{last['confidence'].iloc[0] * 100:.3g} %",
        "method": " or ".join(dict.fromkeys(last["method"])),
    }


def _tick(value: float, _: int | None = None) -> str:
    return f"{value:,.6g}".replace("-", "−")


def _short(text: str, length: int) -> str:
    """At most `length` characters: of a long name its beginning and its end, where names of one family differ."""
    tail = length // 2 - 1
    return text if len(text) <= length else f"{text[: length - tail - 1]}…{text[-tail:]}"


# Without time, version or anything else that varies between runs.
_METADATA: dict[str, dict[str, None]] = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
}
FORMATS = tuple(_METADATA)


def save_figure(figure: Figure, path: str | Path, data: pd.DataFrame, *, dots_per_inch: int = DOTS_PER_INCH) -> None:
    """Writes path.svg, path.pdf and path.png, and the table behind the figure as path-data.csv."""
    for ending in FORMATS:
        write_figure(figure, Path(f"{path}{ending}"), dots_per_inch)
    text = data.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    write_bytes_atomically(f"{path}-data.csv", text.encode())


def write_figure(figure: Figure, path: Path, dots_per_inch: int = DOTS_PER_INCH) -> None:
    """Writes one file, whose ending (one of FORMATS) says its format. Equal figures, equal bytes."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: a figure ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=dots_per_inch, metadata=_METADATA[path.suffix])
