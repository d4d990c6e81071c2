"""Figure: FID against N, one small panel for each guidance scale."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emudrift.config.extractors import distance_name
from emudrift.errors import InputError
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.wording import decimals, number
from emudrift.report.figures.captions import labels_of, panels_of
from emudrift.report.figures.style import (
    COLUMN,
    FLOOR_COLOUR,
    STEPS,
    STYLE,
    colours_of,
    count_label,
    look_of,
    save_figure,
    scale_label,
    shortened,
    spread_apart,
    tick_label,
    title_panel,
    with_tip,
)

PANEL = 1.75  # inches: the narrowest panel that has room for its labels
BACK = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.4}  # of text over lines
LETTER, LINE = 0.06, 0.115  # inches, of a letter of 7 points and of a line of them


def fid_curve(
    fid: pd.DataFrame, path: str | Path, *, floors: Sequence[str] = (), width: float = COLUMN, inverse_n: bool = False
) -> None:
    """Plots FID against N for all arms of fid.csv: one block per extractor, reference selection and set of prompts, one panel per
    guidance scale.

    In front: the bias-corrected FID with the band of its interval, and FID∞ at the end of the axis. Behind: the plain FID, thin
    and dashed. The vertical axis holds what is compared; plain values of small N beyond it, and floors below it, are named at its
    edge (see `fid_caption`). Equal tables give identical bytes.

    Args:
        fid: table from `comparison.fid_table`; colours are assigned to models in the order of the table.
        path: without suffix; writes .svg, .pdf, .png, and the plotted values as -data.csv.
        floors: models that generate nothing (real images encoded and decoded by a tokenizer); dotted lines.
        width: inches; font sizes do not change with it.
        inverse_n: the horizontal axis is 1/N, where the plain FID is nearly a line that ends at FID∞.
    """
    if fid.empty:
        raise InputError("fid.csv is empty: there is no FID to plot")
    blocks = [(title, table, _panels(table, floors)) for title, table in panels_of(fid)]
    columns = [max(1, min(int(width / PANEL), len(panels))) for _, _, panels in blocks]
    lines = [math.ceil(len(panels) / among) for among, (_, _, panels) in zip(columns, blocks, strict=True)]
    tallest = max(panel["arm"].nunique() for _, _, panels in blocks for _, panel in panels)
    tall = max(1.5, (tallest + 2) * LINE + 0.5)
    heights = [
        0.2 + LINE * len(labels_of(table)) + tall * rows for rows, (_, table, _) in zip(lines, blocks, strict=True)
    ]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        places = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, among, rows, (title, table, panels) in zip(places, columns, lines, blocks, strict=True):
            grid = place.subplots(rows, among, squeeze=False)
            for axes, (scale, panel) in zip(grid.flat, panels, strict=False):
                _Panel(axes, panel, list(fid["model"].unique()), floors, inverse_n).draw(
                    (width / among - 0.45, tall - 0.5)
                )
                axes.set_title(scale_label(scale) if len(panels) > 1 or scale is not None else "", loc="left", pad=3)
            for axes in grid.flat[len(panels) :]:
                axes.set_visible(False)
            name = distance_name(str(table["extractor"].iloc[0]))
            place.supylabel(f"{name}  (lower is better)", fontsize=7)
            place.supxlabel("1 / N" if inverse_n else "N, generated images", fontsize=7)
            title_panel(place, title, table)
        save_figure(figure, path, fid)


def _panels(table: pd.DataFrame, floors: Sequence[str]) -> list[tuple[float | None, pd.DataFrame]]:
    """Guidance scales with their arms; arms without a scale are compared with all of them."""
    generated = table[~table["model"].isin(floors)]
    scales = sorted(generated["guidance_scale"].dropna().unique())
    unguided = table["guidance_scale"].isna()
    return [(float(s), table[(table["guidance_scale"] == s) | unguided]) for s in scales] or [(None, table)]


class _Panel:
    """One guidance scale: its axes, and where things are on them."""

    def __init__(
        self, axes: Any, table: pd.DataFrame, models: Sequence[str], floors: Sequence[str], inverse_n: bool
    ) -> None:
        self.axes, self.inverse_n = axes, inverse_n
        self.models, self.colours = models, colours_of(models, floors)
        # Floors alone are what a panel is about.
        is_floor = table["model"].isin([] if set(table["model"]) <= set(floors) else floors)
        self.every_floor = set(floors)
        self.arms = [arm.sort_values("n") for _, arm in table[~is_floor].groupby("arm", sort=False)]
        self.floors = [arm.sort_values("n") for _, arm in table[is_floor].groupby("arm", sort=False)]
        sizes = sorted(table["n"].unique())
        self.dims, self.smallest, self.largest = int(table["dims"].iloc[0]), int(sizes[0]), int(sizes[-1])
        places = [self.x(n) for n in sizes]
        self.left, self.right = min(places), max(places)
        self.span = (self.right - self.left) or abs(self.right)
        # FID∞ has its place where 1/N is 0, or to the right of the largest N.
        self.infinity = 0.0 if inverse_n else self.right + 0.36 * self.span
        self.low, self.high = self._limits()

    def x(self, n: float) -> float:
        return 1 / n if self.inverse_n else float(n)

    def draw(self, inches: tuple[float, float]) -> None:
        """Args: inches: width and height of the axes, about."""
        for arm in self.arms:
            self._draw_arm(arm)
        self._shade()
        self._floors_inside = [row for row in self._floors_at_largest() if self.low <= row.fid_jackknife <= self.high]
        above, below = self._beyond()
        # Room for what is said at the edges.
        lines = (1 if above else 0) + len(below)
        unit = (self.high - self.low) / (max(inches[1], 0.6) - lines * LINE)
        self.low, self.high = self.low - len(below) * LINE * unit, self.high + (LINE * unit if above else 0)
        self._draw_axis(inches[0])
        self._draw_floors()
        self._mark(above, 0.985, "top")
        self._mark("\n".join(below), 0.02, "bottom")
        self._label(
            LINE * unit, self.low + (len(below) + 0.5) * LINE * unit, self.high - (0.5 + bool(above)) * LINE * unit
        )

    def _limits(self) -> tuple[float, float]:
        """From the estimates that are compared: those of valid N, or of the largest where none is; with their intervals."""
        table = pd.concat(self.arms or self.floors)
        valid = table[table["reliable"]] if table["reliable"].any() else table[table["n"] == self.largest]
        ends = valid[["low", "high", "fid_jackknife", "fid_infinity"]].to_numpy(dtype=float)
        last = table.loc[table["n"] == self.largest, ["fid_infinity_low", "fid_infinity_high"]].to_numpy(dtype=float)
        values = np.concatenate([ends.ravel(), last.ravel()])
        values = values[~np.isnan(values)]
        room = 0.08 * ((values.max() - values.min()) or abs(values.max()) or 1.0)
        return float(values.min() - room), float(values.max() + room)

    def _draw_arm(self, arm: pd.DataFrame) -> None:
        model = str(arm["model"].iloc[0])
        colour = self.colours[model]
        line, marker, filled = look_of(self.models, model)
        face = colour if filled else "white"
        self.axes.plot(
            [self.x(n) for n in arm["n"].to_list()],
            arm["fid"],
            color=colour,
            linestyle=(0, (3, 2)),
            linewidth=0.6,
            zorder=2,
        )
        valid = arm[arm["reliable"]] if arm["reliable"].any() else arm[-1:]
        places = [self.x(n) for n in valid["n"].to_list()]
        if len(valid) > 1:
            self.axes.fill_between(places, valid["low"], valid["high"], color=colour, alpha=0.16, linewidth=0, zorder=1)
            self.axes.plot(places, valid["fid_jackknife"], color=colour, linestyle=line, linewidth=1.3, zorder=4)
        for row in rows_of(valid):
            if len(valid) == 1:
                self.axes.plot([self.x(row.n)] * 2, [row.low, row.high], color=colour, linewidth=1.1, zorder=3)
            shown = self.axes.plot(
                self.x(row.n), row.fid_jackknife, color=colour, marker=marker, markersize=2.6, markerfacecolor=face,
                markeredgewidth=0.7, zorder=5,
            )  # fmt: skip
            with_tip(shown, _tip(row))
        last = arm.iloc[-1]
        if not math.isnan(last["fid_infinity"]):
            ends = [last["fid_infinity_low"], last["fid_infinity_high"]]
            at = self._beside(arm)
            drawn = self.axes.plot([at] * 2, ends, color=colour, linewidth=0.7, zorder=3)
            drawn += self.axes.plot(
                at, last["fid_infinity"], color=colour, marker=marker, markersize=2.6, markerfacecolor=face,
                markeredgewidth=0.7, zorder=5,
            )  # fmt: skip
            places_shown = decimals(ends[1] - ends[0], *ends)
            told = (number(each, places_shown) for each in (last["fid_infinity"], *ends))
            with_tip(drawn, "{}, N → ∞: {} [{} to {}]".format(model, *told))

    def _beside(self, arm: pd.DataFrame) -> float:
        """Where the FID∞ of an arm stands: a little apart from the others'."""
        place = next(index for index, each in enumerate(self.arms) if each is arm)
        return self.infinity + 0.022 * self.span * (place - (len(self.arms) - 1) / 2) * (-1 if self.inverse_n else 1)

    def _shade(self) -> None:
        least = math.ceil(MIN_N_PER_DIMENSION * self.dims)
        if least <= self.smallest:
            return
        margin = 0.04 * self.span
        edge = min(least, self.largest * 1.02)
        ends = (self.x(edge), self.right + margin) if self.inverse_n else (self.left - margin, self.x(edge))
        self.axes.axvspan(*ends, color="0.94", linewidth=0, zorder=0)

    def _draw_axis(self, width: float) -> None:
        """Limits with room for the labels at the lines, and ticks with one for infinity."""
        names = [shortened(str(arm["model"].iloc[0]), 14) for arm in self.arms] + [
            "x" * 14 for _ in self._floors_inside
        ]
        share = min((max(map(len, names), default=0) * LETTER + 0.08) / max(width, 0.5), 0.55)
        margin = 0.05 * self.span
        # Where 1/N falls from left to right the largest N, and infinity, stand at the right as well.
        ends = (
            (self.right + margin, self.infinity - margin)
            if self.inverse_n
            else (self.left - margin, self.infinity + margin)
        )
        self.edge = ends[1]
        self.axes.set_xlim(ends[0], ends[1] + (ends[1] - ends[0]) * share / (1 - share))
        if self.inverse_n:
            halves = [n for n in (self.smallest, 2 * self.smallest) if n <= self.largest]
            ticks = [(self.x(n), f"1/{count_label(n)}") for n in halves]
        else:
            found = MaxNLocator(2, steps=STEPS).tick_values(self.left, self.right)
            ticks = [(n, count_label(n)) for n in found if self.left - margin <= n <= self.right + margin]
            ticks = ticks if self.left < self.right else [(self.largest, count_label(self.largest))]
        inch = abs(self.axes.get_xlim()[1] - self.axes.get_xlim()[0]) / max(width, 0.5)
        ticks = [tick for tick in ticks if abs(self.infinity - tick[0]) > (0.5 * len(tick[1]) + 0.9) * LETTER * inch]
        ticks.append((self.infinity, "∞"))
        self.axes.set_xticks([at for at, _ in ticks], [text for _, text in ticks])
        self.axes.set_ylim(self.low, self.high)
        self.axes.yaxis.set_major_formatter(tick_label)
        self.axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))

    def _mark(self, text: str, height: float, side: str) -> None:
        if text:
            self.axes.text(
                0.03, height, text, transform=self.axes.transAxes, va=side, color="0.35", zorder=6, bbox=BACK
            )

    def _beyond(self) -> tuple[str, list[str]]:
        """What lies beyond the axis, in words: plain values of small N above it, floors below it."""
        rows, said = rows_of(pd.concat(self.arms or self.floors)), ""
        most = max(rows, key=lambda row: row.fid)
        if most.fid > self.high:
            said = f"↑ plain: {number(most.fid, 0 if most.fid >= 10 else 2)} at N = {count_label(most.n)}"
        inside = {row.arm for row in self._floors_inside}  # Rows are not equal to themselves, where a scale is NaN.
        outside = [row for row in self._floors_at_largest() if row.arm not in inside]
        values = [number(row.fid_jackknife, decimals(row.high - row.low)) for row in outside]
        names = [shortened(row.model, 14) for row in outside]
        return said, [f"↓ {name} (floor): {value}" for name, value in zip(names, values, strict=True)]

    def _floors_at_largest(self) -> list[Any]:
        """The rows of floors, where they are not what the figure is about."""
        return [rows_of(floor[-1:])[0] for floor in self.floors] if self.arms else []

    def _draw_floors(self) -> None:
        for row in self._floors_inside:
            drawn = self.axes.axhline(
                row.fid_jackknife, color=FLOOR_COLOUR, linestyle=(0, (1, 1.2)), linewidth=1, zorder=1.5
            )
            with_tip(drawn, _tip(row))

    def _label(self, line: float, low: float, high: float) -> None:
        """The models' names at the ends of their lines. Args: line: the height of one, in units of the axis."""
        rows = [rows_of(arm[-1:])[0] for arm in self.arms]
        wanted = [row.fid_jackknife if math.isnan(row.fid_infinity) else row.fid_infinity for row in rows]
        rows += self._floors_inside
        wanted += [row.fid_jackknife for row in self._floors_inside]
        for row, at in zip(rows, spread_apart(wanted, line, low, high), strict=True):
            name = f"{shortened(row.model, 10)} (floor)" if row.model in self.every_floor else shortened(row.model, 14)
            colour = self.colours[row.model]
            self.axes.text(self.edge, at, f" {name}", color=colour, va="center", zorder=2.4, bbox=BACK)


def _tip(row: Any) -> str:
    places = decimals(row.high - row.low, row.low, row.high)
    corrected, low, high, plain = (number(each, places) for each in (row.fid_jackknife, row.low, row.high, row.fid))
    return f"{row.model}, N = {row.n:,}: {corrected} [{low} to {high}], plain {plain}"
