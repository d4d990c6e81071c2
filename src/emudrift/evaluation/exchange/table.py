"""exchange.csv: what each strength of a fine-tuned model sees and draws, and what share of gain and cost that is."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from emudrift.config.exchange import Exchange
from emudrift.errors import InputError
from emudrift.evaluation.exchange.front import pairs_of, places
from emudrift.evaluation.exchange.measured import Measured, ratio
from emudrift.evaluation.exchange.points import Axes, Point, at_guidance_scales, before, full_strength, labels
from emudrift.evaluation.exchange.recommend import fit_of, recommended
from emudrift.evaluation.intervals import CONFIDENCE
from emudrift.evaluation.tables import EXCHANGE_COLUMNS, frame


def exchange_table(
    points: Sequence[Point], axes: Axes, baseline: str, settings: Exchange, note: str = ""
) -> pd.DataFrame:
    """One row per point at each guidance scale, the baseline first: EXCHANGE_COLUMNS, explained in docs/protocol.md.

    Differences are point minus baseline. `gain_kept` and `cost_paid` are shares of the same difference at full strength, with
    Fieller's intervals (`measured.ratio`); empty where full strength has no gain, or no cost, that is certain. Columns with
    `_step` are differences from the next weaker point, those with `_to_full` from full strength. These, and those that end in
    `_simultaneous`, have intervals that hold together for all points on both axes.

    Raises:
        InputError: there is no baseline at a guidance scale.
    """
    groups = at_guidance_scales(points, baseline)
    pairs = pairs_of([group for _, group in groups])
    gains = {(id(point.seeing), id(group[0].seeing)) for _, group in groups for point in group[1:]}
    steps = sum(len(group) - 1 for _, group in groups) + len(gains)
    asked = [group for scale, group in groups if settings.guidance_scale is None or scale == settings.guidance_scale]
    candidates = sum(len(group) - 1 for group in asked)
    rows: list[dict[str, Any]] = []
    for scale, group in groups:
        ours = [point for point in group if point.strength.model == baseline]
        if len(ours) != 1:
            raise InputError(
                f"exchange: {len(ours)} arms of the baseline {baseline!r} at guidance {scale:g}, expected 1"
            )
        base = ours[0]
        found = places(group, axes, _together(pairs))
        fitting: list[tuple[dict[str, Any], Point]] = []
        for point, place in zip(group, found, strict=True):
            row = _row(point, axes) | {"guidance_scale": scale, "baseline": baseline, "note": note}
            row |= {"front": place.on_front, "front_certain": place.certain, "fits": "", "recommended": False}
            row |= {"margin_seeing": settings.margin_seeing, "margin_drawing": settings.margin_drawing}
            if point is not base:
                model = [other for other in group if other.strength.model == point.strength.model]
                full = full_strength(model)
                previous = before(point, model, base)
                row |= _against(point, base, full, previous, axes, _together(steps))
                named = {base.key: baseline} | labels(model)
                row |= {"label": named[point.key], "since": named[previous.key]}
                if group in asked:
                    margins = settings.margin_drawing, settings.margin_seeing
                    row["fits"] = fit_of(point, full, base, axes, *margins, _together(candidates))
                if row["fits"] == "yes":
                    fitting.append((row, point))
            rows.append(row)
        for model_name in {point.strength.model for _, point in fitting}:
            best = recommended([p for _, p in fitting if p.strength.model == model_name], axes, settings.margin_drawing)
            for row, point in fitting:
                row["recommended"] |= point is best
    return frame(rows, EXCHANGE_COLUMNS)


def _together(count: int) -> float:
    """The confidence of each of so many intervals that hold together (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(count, 1)


def _row(point: Point, axes: Axes) -> dict[str, Any]:
    model, scale, step = point.strength
    return {
        "model": model,
        "adapter_scale": scale,
        "step": step,
        "arm": point.arm,
        "label": model,
        **vars(axes),
        **_columns("seeing", point.seeing),
        **_columns("drawing", point.drawing),
        "full_strength": False,
        "since": "",
        "confidence": CONFIDENCE,
        "reliable": point.reliable,
    }


def _against(point: Point, base: Point, full: Point, previous: Point, axes: Axes, together: float) -> dict[str, Any]:
    """What is said of a point in comparison with the baseline, with full strength and with the next weaker point."""
    gain, whole_gain = point.seeing.minus(base.seeing), full.seeing.minus(base.seeing)
    cost, whole_cost = point.drawing.minus(base.drawing), full.drawing.minus(base.drawing)
    bought = whole_gain.interval(together).low > 0
    total = whole_cost.interval(together)
    priced = full.reliable and base.reliable and (total.low > 0 if axes.better < 0 else total.high < 0)
    return {
        **_columns("seeing_difference", gain),
        **_columns("drawing_difference", cost),
        **_simultaneous("seeing_difference", gain, together),
        **_simultaneous("drawing_difference", cost, together),
        **_share("gain_kept", ratio(gain, whole_gain) if bought else None),
        **_share("cost_paid", ratio(cost, whole_cost) if priced else None),
        **_columns("seeing_to_full", point.seeing.minus(full.seeing), together),
        **_columns("drawing_to_full", point.drawing.minus(full.drawing), together),
        **_columns("seeing_step", point.seeing.minus(previous.seeing), together),
        **_columns("drawing_step", point.drawing.minus(previous.drawing), together),
        "full_strength": point is full,
    }


def _columns(name: str, measured: Measured, confidence: float = CONFIDENCE) -> dict[str, float]:
    found = measured.interval(confidence)
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def _simultaneous(name: str, measured: Measured, confidence: float) -> dict[str, float]:
    found = measured.interval(confidence)
    return {f"{name}_low_simultaneous": found.low, f"{name}_high_simultaneous": found.high}


def _share(name: str, found: tuple[float, float, float] | None) -> dict[str, float]:
    value, low, high = found or (math.nan,) * 3
    return {name: value, f"{name}_low": low, f"{name}_high": high}
