"""The figures, in one style: FID against N, differences between models, and the grid of images."""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from emudrift.errors import InputError
from emudrift.files import atomic_path

# Inches: one column of a two-column paper. Drawn at this width, a figure is legible there, and scales up.
COLUMN = 3.5
DOTS_PER_INCH = 400

FID_CAPTION = (
    "FID against the number of generated images N; lower is better. Curves (left): plain FID, which is biased upwards "
    "where N is small; by how much depends on the model, so curves must not be read against each other at small N. "
    "Points with bars (right, same axis): FID corrected for that bias at the largest N, with its {confidence} interval "
    "({method}; reference held fixed). Colour: guidance scale. Line and marker: model."
)
SHADED_CAPTION = " Shaded: N below twice the number of feature dimensions, where absolute values are unreliable."
DIFFERENCE_CAPTION = (
    "FID difference from {baseline} at N = {n}: bias-corrected estimate and {confidence} interval ({method}; paired by "
    "prompt, reference held fixed, not adjusted for multiple comparisons). Right of 0 a model is worse than "
    "{baseline}. Filled: the interval excludes 0; hollow: no difference found."
)

_STYLE: dict[str, Any] = {
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
# The first serve what others lack; matplotlib takes each character from the first font that has it.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
    "Symbola",
)
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


@dataclass(frozen=True)
class GridRow:
    """One prompt of the image grid: its caption, the real image (None if there is none) and one image per arm."""

    prompt_id: str
    caption: str
    real: Image.Image | None
    images: Sequence[Image.Image]


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
    height = 2.35 * max(width / COLUMN, 1) ** 0.5 * len(extractors) + 0.45
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(
            len(extractors), 2, squeeze=False, sharex="col", width_ratios=[1, _strip(fid)], gridspec_kw={"wspace": 0.02}
        )
        for (curves, strip), extractor in zip(axes, extractors, strict=True):
            table = fid[fid["extractor"] == extractor]
            _draw_curves(curves, table, models, colours)
            _draw_strip(strip, table, models, colours)
            strip.sharey(curves)
            strip.tick_params(labelleft=False, left=False)
            curves.set_ylabel("FID  (lower is better)")
        axes[-1, 0].set_xlabel("N, generated images")
        _legend(figure, models, colours, width)
        _save(figure, svg, png)


def fid_caption(fid: pd.DataFrame) -> str:
    """What stands under the figure of `fid_curve`."""
    shaded = "" if fid["reliable"].all() else SHADED_CAPTION
    return FID_CAPTION.format(**_interval_words(fid)) + shaded + _random_words(fid)


def _draw_curves(axes: Any, table: pd.DataFrame, models: list[str], colours: dict[str, Any]) -> None:
    dims, largest = int(table["dims"].iloc[0]), int(table["n"].max())
    for (model, scale), arm in table.groupby(["model", "guidance_scale"], sort=False, dropna=False):
        line, marker, filled = _line(models, model)
        colour = colours[_scale_label(scale)]
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
    _title(axes, table)


def _draw_strip(axes: Any, table: pd.DataFrame, models: list[str], colours: dict[str, Any]) -> None:
    """The corrected FIDs at the largest N, with the intervals that belong to them."""
    last = table[table["n"] == table["n"].max()]
    for place, row in enumerate(last.itertuples(index=False)):
        _, marker, filled = _line(models, row.model)
        colour = colours[_scale_label(row.guidance_scale)]
        axes.plot([place, place], [row.low, row.high], color=colour, linewidth=1.1, solid_capstyle="butt")
        axes.plot(
            place, row.fid_jackknife, color=colour, marker=marker, markersize=3.2,
            markerfacecolor=colour if filled else "white", markeredgewidth=0.8,
        )  # fmt: skip
    axes.set_xlim(-0.9, len(last) - 0.1)
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(f"corrected,\nN = {last['n'].iloc[0]:,}")
    sns.despine(ax=axes, left=True)


def _strip(fid: pd.DataFrame) -> float:
    """Width of the strip, in widths of the panel beside it."""
    return min(0.16 + 0.035 * fid["arm"].nunique(), 0.6)


def _legend(figure: Figure, models: list[str], colours: dict[str, Any], width: float) -> None:
    handles: list[Any] = [Patch(color=colour, label=label) for label, colour in colours.items()]
    for model in models:
        line, marker, filled = _line(models, model)
        handles.append(
            Line2D(
                [], [], color="0.2", linestyle=line, linewidth=1.1, marker=marker, markersize=3.2,
                markerfacecolor="0.2" if filled else "white", markeredgewidth=0.8, label=_short(model, 26),
            )
        )  # fmt: skip
    longest = max(len(handle.get_label()) for handle in handles)
    columns = max(1, min(len(handles), int(width / (0.052 * longest + 0.42))))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.4, columnspacing=1.2
    )


# --- differences ---


def comparison_figure(comparison: pd.DataFrame, svg: str | Path, png: str | Path, *, width: float = COLUMN) -> None:
    """Draws each model's FID difference from the baseline with its interval, at the largest N of comparison.csv.

    An empty table gives a figure that says that there is nothing to compare. Equal tables give equal bytes.
    """
    with matplotlib.rc_context(_STYLE):
        if comparison.empty:
            figure = Figure(figsize=(width, 0.8))
            figure.text(0.5, 0.5, "There is nothing to compare.", ha="center", va="center")
            _save(figure, svg, png)
            return
        table = comparison[comparison["n"] == comparison["n"].max()]
        models, baseline = list(table["model"].unique()), table["baseline"].iloc[0]
        colours = _colours(table["guidance_scale"])
        panels = [panel for _, panel in table.groupby("extractor", sort=False)]
        heights = [0.5 + 0.2 * len(panel) for panel in panels]
        figure = Figure(figsize=(width, sum(heights) + 0.5), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for panel_axes, panel in zip(axes, panels, strict=True):
            _draw_forest(panel_axes, panel, models, colours)
        axes[-1].set_xlabel(
            f"FID difference from {_short(baseline, 30)}, N = {table['n'].iloc[0]:,}\n← better      worse →"
        )
        _save(figure, svg, png)


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
    for place, row in enumerate(table.itertuples(index=False)):
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
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    sns.despine(ax=axes, left=True)
    _title(axes, table)


# --- images ---


def image_grid(labels: Sequence[str], rows: Sequence[GridRow], png: str | Path) -> None:
    """Draws the same prompts across all arms: caption, real image, then one image per arm.

    Args:
        labels: one per arm, in the order of each row's images.
        rows: top to bottom; a row without a real image leaves its place empty.
    """
    for row in rows:
        if len(row.images) != len(labels):
            raise ValueError(f"prompt {row.prompt_id}: {len(row.images)} images for {len(labels)} arms")
    if not rows:
        raise InputError("there is no image to draw a grid of")
    columns = len(labels) + 1
    side = min(max((2 * COLUMN - 1.5) / columns, 0.62), 1.1)
    text, gap, margin = 1.45, 0.05, 0.06
    tallest = max(image.height / image.width for row in rows for image in (*row.images, row.real) if image is not None)
    cell = side * min(max(tallest, 0.55), 1.4)
    with matplotlib.rc_context(_STYLE | {"font.family": _fonts()}), _quiet():
        measure = _Measure()
        heads = [measure.wrap(label, side - 0.02, 6.5, 4, "bold") for label in ("real image", *labels)]
        head = max(head.count("\n") + 1 for head in heads) * 0.115 + 0.06
        width, height = margin * 2 + text + columns * (side + gap), margin * 2 + head + len(rows) * (cell + gap)
        figure = Figure(figsize=(width, height))
        for column, title in enumerate(heads):
            x = margin + text + gap + column * (side + gap) + side / 2
            figure.text(
                x / width, 1 - (margin + head - 0.04) / height, title,
                ha="center", va="bottom", size=6.5, weight="bold", parse_math=False, linespacing=1.15,
            )  # fmt: skip
        for number, row in enumerate(rows):
            top = margin + head + number * (cell + gap)
            caption = measure.wrap(" ".join(row.caption.split()), text - 0.04, 6.5, max(int(cell / 0.112), 2))
            figure.text(
                margin / width, 1 - (top + cell / 2) / height, caption,
                ha="left", va="center", size=6.5, parse_math=False, linespacing=1.15,
            )  # fmt: skip
            for column, image in enumerate((row.real, *row.images)):
                if image is None:
                    continue
                x = margin + text + gap + column * (side + gap)
                place = (x / width, 1 - (top + cell) / height, side / width, cell / height)
                axes = figure.add_axes(place)
                axes.imshow(np.asarray(image.convert("RGB")))
                axes.set_anchor("C")
                axes.set_axis_off()
        _save(figure, None, png)


class _Measure:
    """Breaks text into lines by its drawn width."""

    def __init__(self) -> None:
        self.renderer: Any = FigureCanvasAgg(Figure(dpi=72)).get_renderer()

    def wrap(self, text: str, inches: float, size: float, lines: int, weight: str = "normal") -> str:
        """The text in at most that many lines, with an ellipsis where it is cut."""
        font = FontProperties(family=_fonts(), size=size, weight=weight)

        def fits(line: str) -> bool:
            return self.renderer.get_text_width_height_descent(line, font, False)[0] <= inches * 72

        broken: list[str] = []
        line = ""
        for word in text.split(" "):
            candidate = f"{line} {word}" if line else word
            if fits(candidate):
                line = candidate
                continue
            if line:
                broken.append(line)
            line = ""
            # A word wider than a line, or a script without spaces.
            for character in word:
                if line and not fits(line + character):
                    broken.append(line)
                    line = ""
                line += character
        broken.append(line)
        if len(broken) > lines:
            last = broken[lines - 1]
            while last and not fits(f"{last}…"):
                last = last[:-1]
            broken = [*broken[: lines - 1], f"{last.rstrip()}…"]
        return "\n".join(broken)


def _fonts() -> list[str]:
    installed = set(font_manager.get_font_names())
    return [name for name in _FONTS if name in installed]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a warning per character that no installed font has; it is drawn as a box."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield
    finally:
        logger.setLevel(level)


# --- what the figures share ---


def _scale_label(scale: float | None) -> str:
    return "no guidance scale" if scale is None or math.isnan(scale) else f"guidance {scale:g}"


def _colours(scales: pd.Series) -> dict[str, Any]:
    """A colour for each guidance scale: dark to light with the scale, so that their order survives grey print."""
    known = sorted(scales.dropna().unique())
    places = np.linspace(0.0, 0.78, len(known)) if len(known) > 1 else np.array([0.3])
    colours = dict(zip(map(_scale_label, known), matplotlib.colormaps["viridis"](places), strict=True))
    return colours | ({_scale_label(None): _UNGUIDED} if scales.isna().any() else {})


def _line(models: list[str], model: str) -> tuple[Any, str, bool]:
    return _LINES[models.index(model) % len(_LINES)]


def _title(axes: Any, table: pd.DataFrame) -> None:
    axes.set_title(table["extractor"].iloc[0], loc="left", weight="bold", pad=14 if _random(table) else 5)
    if _random(table):
        axes.annotate(
            "random weights: means nothing outside this experiment", (0, 1), (0, 4), xycoords="axes fraction",
            textcoords="offset points", ha="left", va="bottom", size=6, color="#a02c00", annotation_clip=False,
        )  # fmt: skip


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


def _save(figure: Figure, svg: str | Path | None, png: str | Path) -> None:
    """Writes without time, version or anything else that varies between runs."""
    if svg is not None:
        with atomic_path(svg) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    with atomic_path(png) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
