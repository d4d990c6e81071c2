"""Image grid: one row per prompt, with the real image and the image of every arm."""

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from emudrift.errors import InputError
from emudrift.report.figures.style import COLUMN, STYLE, save_figure
from emudrift.report.gallery.grid_rows import GridRow

# Font fallback: matplotlib takes each character from the first font that has it.
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


def image_grid(labels: Sequence[str], rows: Sequence[GridRow], path: str | Path) -> None:
    """Plots a grid of images with one row per prompt: caption, real image, then one image per arm.

    Args:
        labels: one per arm, in the order of each row's images.
        rows: top to bottom; the cell of a missing real image stays empty.
        path: without suffix; writes .svg, .pdf, .png, and the captions as -data.csv.
    """
    for row in rows:
        if len(row.images) != len(labels):
            raise ValueError(f"prompt {row.prompt_id}: {len(row.images)} images for {len(labels)} arms")
    if not rows:
        raise InputError("the image grid has no rows: there is no image to show")
    columns = len(labels) + 1
    side = min(max((2 * COLUMN - 1.5) / columns, 0.62), 1.1)
    text, gap, margin = 1.45, 0.05, 0.06
    cells = [side * min(max(_tallest(row), 0.55), 1.4) for row in rows]
    with matplotlib.rc_context(STYLE | {"font.family": _fonts()}), _quiet():
        measure = _Measure()
        # No line break between "guidance" and its value.
        heads = [label.replace("guidance ", "guidance\N{NO-BREAK SPACE}") for label in ("real image", *labels)]
        heads = [measure.wrap(head, side - 0.02, 7, 6, "bold") for head in heads]
        head = max(head.count("\n") + 1 for head in heads) * 0.122 + 0.06
        width, height = margin * 2 + text + columns * (side + gap), margin * 2 + head + sum(cells) + len(rows) * gap
        figure = Figure(figsize=(width, height))
        for column, title in enumerate(heads):
            x = margin + text + gap + column * (side + gap) + side / 2
            figure.text(
                x / width, 1 - (margin + head - 0.04) / height, title,
                ha="center", va="bottom", size=7, weight="bold", parse_math=False, linespacing=1.15,
            )  # fmt: skip
        top = margin + head
        for row, cell in zip(rows, cells, strict=True):
            caption = measure.wrap(" ".join(row.caption.split()), text - 0.04, 7, max(int(cell / 0.12), 2))
            figure.text(
                margin / width, 1 - (top + cell / 2) / height, caption,
                ha="left", va="center", size=7, parse_math=False, linespacing=1.15,
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
            top += cell + gap
        captions = [{"prompt_id": row.prompt_id, "caption": row.caption} for row in rows]
        save_figure(figure, path, pd.DataFrame(captions), dots_per_inch=300)


def _tallest(row: GridRow) -> float:
    return max(image.height / image.width for image in (*row.images, row.real) if image is not None)


class _Measure:
    """Wraps text by its rendered width."""

    def __init__(self) -> None:
        self.renderer: Any = FigureCanvasAgg(Figure(dpi=72)).get_renderer()

    def wrap(self, text: str, inches: float, size: float, lines: int, weight: str = "normal") -> str:
        """Wraps text to at most `lines` lines, truncated with an ellipsis."""
        font = FontProperties(family=_fonts(), size=size, weight=weight)

        def fits(line: str) -> bool:
            return self.renderer.get_text_width_height_descent(line, font, False)[0] <= inches * 72

        # Every rendered character is wider than one point, so the rest of a very long text need not be measured.
        text = text[: int(inches * 72) * lines + 1]
        broken: list[str] = []
        line = ""
        # Lines may also break after hyphens, underscores and slashes.
        for part in re.findall(r" ?[^ _/-]*[_/-]*", text):
            if fits(line + part):
                line += part
                continue
            if line:
                broken.append(line)
            line = ""
            # A word wider than a line, or a script without spaces.
            for character in part.lstrip():
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
    """Suppresses warnings about characters that no installed font has; they are rendered as boxes."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield
    finally:
        logger.setLevel(level)
