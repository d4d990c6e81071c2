"""Shared style of all figures, and how they are written to disk."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emudrift.errors import InputError
from emudrift.report.figures.captions import has_random
from emudrift.runtime.atomic_files import atomic_path, write_bytes_atomically

# Inches: one column of a two-column paper. A figure made for this width is legible there and scales up.
COLUMN = 3.5
DOTS_PER_INCH = 400
STYLE: Any = dict(
    matplotlib.rc_params_from_file(str(Path(__file__).with_name("emudrift.mplstyle")), use_default_template=False)
)

# Distinguishable without colour: dash pattern, marker shape, and whether the marker is filled.
LINES: tuple[tuple[Any, str, bool], ...] = (
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
STEPS = (1, 2, 5, 10)


def forest_rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples(index=False))


def scale_label(scale: float | None) -> str:
    return "no guidance scale" if scale is None or math.isnan(scale) else f"guidance {scale:g}"


def colours_of(scales: pd.Series) -> dict[str, Any]:
    """A colour for each guidance scale: dark to light with increasing scale, so that the order survives greyscale print."""
    known = sorted(scales.dropna().unique())
    places = np.linspace(0.0, 0.78, len(known)) if len(known) > 1 else np.full(len(known), 0.3)
    colours = dict(zip(map(scale_label, known), matplotlib.colormaps["viridis"](places), strict=True))
    return colours | ({scale_label(None): _UNGUIDED} if scales.isna().any() else {})


def look_of(models: list[str], model: str, floors: Sequence[str]) -> tuple[Any, str, bool]:
    """Line style, marker, and whether the marker is filled."""
    line, marker, filled = LINES[models.index(model) % len(LINES)]
    return (_FLOOR if model in floors else line), marker, filled


def panel_title(title: str, table: pd.DataFrame) -> str:
    warning = "\nrandom weights: not meaningful outside this experiment" if has_random(table) else ""
    # The first sentence of the experiment's note keeps a demo's figure labelled when it is used without the page.
    note = str(table["note"].iloc[0]).partition(". ")[0]
    note = note if len(note) <= 60 else f"{note[:59]}…"
    return f"{shortened(title, 60)}{warning}" + (f"\n{note}" if note else "")


def tick_label(value: float, _: int | None = None) -> str:
    return f"{value:,.6g}".replace("-", "−")


def shortened(text: str, length: int) -> str:
    """Truncates the middle of a name to at most `length` characters; names of one model family often differ at the end."""
    tail = length // 2 - 1
    return text if len(text) <= length else f"{text[: length - tail - 1]}…{text[-tail:]}"


# No timestamps, versions or other metadata that varies between runs.
_METADATA: dict[str, dict[str, None]] = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
}

FORMATS = tuple(_METADATA)


def save_figure(figure: Figure, path: str | Path, data: pd.DataFrame, *, dots_per_inch: int = DOTS_PER_INCH) -> None:
    """Writes path.svg, path.pdf and path.png, and the plotted table as path-data.csv."""
    for ending in FORMATS:
        write_figure(figure, Path(f"{path}{ending}"), dots_per_inch)
    text = data.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    write_bytes_atomically(f"{path}-data.csv", text.encode())


def write_figure(figure: Figure, path: Path, dots_per_inch: int = DOTS_PER_INCH) -> None:
    """Writes one file in the format of its suffix (one of FORMATS). Equal figures give identical bytes."""
    if path.suffix not in FORMATS:
        raise InputError(
            f"{path}: unknown figure format; the suffix must be {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=dots_per_inch, metadata=_METADATA[path.suffix])
