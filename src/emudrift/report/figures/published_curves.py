"""Linear fits in 1/N to published curves of FID against N, their intercepts, and what can be concluded from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emudrift.errors import InputError
from emudrift.evaluation.intervals import extrapolate
from emudrift.report.elements.wording import listing, number
from emudrift.report.figures.style import COLUMN, STYLE, write_figure

COLUMNS = ("model", "guidance_scale", "n_images", "fid")
FEWEST = 3
MARKERS = ("o", "s", "^", "D", "v", "P")

CONCLUSIONS = (
    "What can be concluded: the intercept of each line, which is the FID at infinite N if FID is linear in 1/N from the "
    "smallest fitted N on. A FID at a single N mixes this level with a bias of slope / N, which differs between models.",
    "What cannot be concluded: whether two models differ. The table has one FID per N and no intervals. If the subsets of one "
    "sample are nested, as is usual, the points share most of their images: their errors are correlated, and residuals "
    "say nothing about the error of the line. Intervals require the features, or several independent samples.",
)

FLIPS = (
    "The sign depends on the guidance scale, so no single sentence holds for {model}. Whether guidance is the reason cannot be "
    "concluded either: without intervals each of these differences may be chance, and whatever else changed with the scale (a "
    "prompt suffix, a separate run) may be the reason."
)


@dataclass(frozen=True)
class Curve:
    """The FIDs of one model at one guidance scale, and their fit FID = fid_infinity + slope / n.

    `n`, `fid` (k,): all points, sorted by n. `fitted`: number of points used in the fit. `residual`: root mean square
    residual of these points, which is not a standard error. `fid_infinity_later`: intercept of a fit to the half with the
    larger N; it deviates if the curve is not yet linear in 1/N.
    """

    model: str
    guidance_scale: float
    n: np.ndarray
    fid: np.ndarray
    fid_infinity: float
    slope: float
    fid_infinity_later: float
    residual: float
    fitted: int


def load_curves(path: str | Path) -> pd.DataFrame:
    """Reads a CSV with the columns COLUMNS (others are ignored) and validates its numbers.

    Raises:
        InputError: names the file and the column or line: missing, empty, not a number, N below 2, or a duplicate point.
    """
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = str(error).strip().replace("\n", " ")
        raise InputError(f"{path}: not a CSV table ({reason}); expected the columns {', '.join(COLUMNS)}") from error
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    table = table[list(COLUMNS)].copy()
    for column in COLUMNS[1:]:
        numbers = pd.to_numeric(table[column], errors="coerce")
        lowest = {"n_images": 2, "guidance_scale": 0}.get(column, -np.inf)
        wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers < lowest))
        if len(wrong):
            # The header is line 1.
            raise InputError(
                f"{path}: line {wrong[0] + 2}: {column} is {table[column].iloc[wrong[0]]!r}; expected a number"
                + (f" of at least {lowest}" if np.isfinite(lowest) else "")
            )
        table[column] = numbers
    twice = np.flatnonzero(table.duplicated(list(COLUMNS[:3])))
    if len(twice):
        row = table.iloc[twice[0]]
        raise InputError(
            f"{path}: line {twice[0] + 2}: {row['model']}, guidance {row['guidance_scale']:g}, N = {row['n_images']:,.0f} "
            "appears twice; give one FID for each"
        )
    return table


def fit_curves(table: pd.DataFrame, min_n: int) -> list[Curve]:
    """Unweighted least-squares fit in 1/N for each model and guidance scale, over N >= min_n.

    Models are in the order of the table, then by guidance scale.

    Raises:
        InputError: a curve has fewer than 3 such points, too few to judge a linear fit; or the table is empty.
    """
    curves = []
    for model, scale in table[["model", "guidance_scale"]].drop_duplicates().itertuples(index=False):
        points = table[(table["model"] == model) & (table["guidance_scale"] == scale)].sort_values("n_images")
        n, fid = points["n_images"].to_numpy(np.float64), points["fid"].to_numpy(np.float64)
        chosen = n >= min_n
        if chosen.sum() < FEWEST:
            raise InputError(
                f"{model}, guidance {scale:g}: {chosen.sum()} points with N >= {min_n:,}, but a fit needs {FEWEST}; the "
                f"curve has N = {', '.join(f'{size:,.0f}' for size in n)}: lower --min-n"
            )
        fid_infinity, slope = extrapolate(n[chosen], fid[chosen])
        later = np.flatnonzero(chosen)[chosen.sum() // 2 :]
        fid_infinity_later = extrapolate(n[later], fid[later])[0]
        off = fid[chosen] - fid_infinity - slope / n[chosen]
        residual = float(np.sqrt(np.mean(off**2)))
        ends = fid_infinity, slope, fid_infinity_later
        curves.append(Curve(model, float(scale), n, fid, *ends, residual, int(chosen.sum())))
    if not curves:
        raise InputError("the table has no rows: there is no curve to fit")
    models = list(dict.fromkeys(table["model"]))
    return sorted(curves, key=lambda curve: (models.index(curve.model), curve.guidance_scale))


def curves_csv(curves: Sequence[Curve]) -> str:
    """The intercepts as CSV: model, guidance_scale, fid_infinity."""
    columns = ["model", "guidance_scale", "fid_infinity"]
    rows = [[getattr(curve, column) for column in columns] for curve in curves]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, float_format="%.10g", lineterminator="\n")


def curves_text(curves: Sequence[Curve], min_n: int) -> str:
    """The fits as a plain-text table, followed by what can and cannot be concluded from them."""
    width = max(5, *(len(curve.model) for curve in curves))
    lines = [
        f"{'model':{width}} {'guidance':>9} {'FID inf':>9} {'later half':>11} {'slope':>9} {'points':>7} {'RMSE':>8} "
        f"{'last FID':>9}"
    ]
    lines += [
        f"{curve.model:{width}} {curve.guidance_scale:9g} {curve.fid_infinity:9.2f} {curve.fid_infinity_later:11.2f} "
        f"{curve.slope:9,.0f} {curve.fitted:7} {curve.residual:8.3f} {curve.fid[-1]:9.2f} at N = {curve.n[-1]:,.0f}"
        for curve in curves
    ]
    return "\n".join(
        [
            *lines,
            "",
            f"Fit: FID = FID inf + slope / N over N >= {min_n:,}; later half: the same fit to the half with the larger N.",
            *about_differences(curves),
            *CONCLUSIONS,
        ]
    )


def about_differences(curves: Sequence[Curve]) -> list[str]:
    """How each model's curves differ from those of the first model, at each guidance scale, and whether the sign flips.

    One sentence per model, with the differences at the largest N that both have and those of the intercepts, and where the sign
    at some N is another one than at the largest; a second sentence if the sign differs between guidance scales.
    """
    said = []
    models = list(dict.fromkeys(curve.model for curve in curves))
    for model in models[1:]:
        pairs = [
            (theirs, ours)
            for theirs in curves
            for ours in curves
            if (theirs.model, ours.model) == (models[0], model) and theirs.guidance_scale == ours.guidance_scale
        ]
        found = [(ours, *_at_equal_n(theirs, ours), ours.fid_infinity - theirs.fid_infinity) for theirs, ours in pairs]
        found = [each for each in found if len(each[1])]
        if not found:
            continue
        parts = [
            f"{_signed(d[-1])} at guidance {ours.guidance_scale:g} (N = {n[-1]:,.0f}; intercepts {_signed(ends)}"
            + (f"; the other sign at {_sizes(n[np.sign(d) == -np.sign(d[-1])])})" if (d * d[-1] < 0).any() else ")")
            for ours, n, d, ends in found
        ]
        said.append(f"Difference of {model} from {models[0]}, plain FIDs, above 0 is worse: {'; '.join(parts)}.")
        if len({np.sign(d[-1]) for _, _, d, _ in found}) > 1:
            said.append(FLIPS.format(model=model))
    return said


def _at_equal_n(theirs: Curve, ours: Curve) -> tuple[np.ndarray, np.ndarray]:
    """The N that both curves have, in increasing order, and the difference ours − theirs at each."""
    n, a, b = np.intersect1d(theirs.n, ours.n, return_indices=True)
    return n, ours.fid[b] - theirs.fid[a]


def _signed(value: float) -> str:
    return number(value, 2, signed=True)


def _sizes(n: np.ndarray) -> str:
    return f"N = {listing(f'{size:,.0f}' for size in n)}"


def draw_curves(curves: Sequence[Curve], path: str | Path, min_n: int) -> None:
    """Plots FID against 1/N with the fitted lines extended to 1/N = 0. Equal curves give identical bytes.

    Points with N < `min_n`, which are not part of the fit, are hollow, and shown only down to N = `min_n` / 2.

    Args:
        path: ends in .svg, .pdf or .png.

    Raises:
        InputError: another suffix.
    """
    path = Path(path)
    scales = sorted({curve.guidance_scale for curve in curves})
    models = list(dict.fromkeys(curve.model for curve in curves))
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.78, len(scales)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, 3.1), layout="constrained")
        axes = figure.subplots()
        for curve in curves:
            colour, number = shades[scales.index(curve.guidance_scale)], models.index(curve.model)
            dash = "solid" if number == 0 else (0, (4 / number, 1.6))
            line = np.array([0.0, 1 / min_n])
            axes.plot(
                line, curve.fid_infinity + curve.slope * line, color=colour, linewidth=1, linestyle=dash,
                marker="", label=f"{curve.model}, guidance {curve.guidance_scale:g}: {curve.fid_infinity:.1f}",
            )  # fmt: skip
            for inside, face in ((curve.n >= min_n, colour), (curve.n < min_n, "white")):
                shown = inside & (curve.n >= min_n / 2)
                axes.plot(
                    1 / curve.n[shown], curve.fid[shown], color=colour, linestyle="", markersize=2.8,
                    marker=MARKERS[number % len(MARKERS)], markerfacecolor=face, markeredgewidth=0.7,
                )  # fmt: skip
        axes.set_xlim(0, None)
        ticks = [0.0, *(1 / n for n in (4 * min_n, 2 * min_n, min_n, min_n / 2))]
        axes.set_xticks(ticks, ["∞", *(f"{1 / tick:,.0f}" for tick in ticks[1:])])
        axes.set_xlabel("N, generated images (axis: 1/N)")
        axes.set_ylabel("FID  (lower is better)")
        figure.legend(
            loc="outside lower center", ncols=2, frameon=False, title="Intercept of the fit in 1/N (no interval)"
        )
        write_figure(figure, path)
