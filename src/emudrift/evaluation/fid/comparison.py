"""The tables of FIDs and of their differences between models."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emudrift.errors import InputError
from emudrift.evaluation.fid.record import FidRecord, ReferenceRecord
from emudrift.evaluation.findings import IDENTICAL, finding_of
from emudrift.evaluation.intervals import (
    Estimate,
    fid_infinity,
    half_sampling_error,
    of_pseudo_values,
    simultaneous,
)
from emudrift.evaluation.pairing import pairs_with_baseline
from emudrift.evaluation.tables import COMPARISON_COLUMNS, FID_COLUMNS, frame


def fid_table(records: Sequence[FidRecord], model_order: Sequence[str] = (), note: str = "") -> pd.DataFrame:
    """All FIDs, one row per set of prompts, extractor, reference (full, same), model, guidance scale and N, sorted by these (sets
    as they come, models as in `model_order`).

    Columns: FID_COLUMNS. `fid` is the plain value; `fid_jackknife` is corrected for the bias of a finite N, and the
    interval from `low` to `high` belongs to it. `fid_infinity` is the intercept of a linear fit in 1/N, with a separate
    interval; empty for fewer than 8 images. `reliable` is False where N is below MIN_N_PER_DIMENSION x dims. `note` is the
    experiment's, so that demo numbers stay labelled wherever the table goes.

    Raises InputError if one of them is there twice.
    """
    rows = [
        record.model_dump(include=set(FID_COLUMNS) - {"reference"})
        | record.reference_columns()
        | {"prompt_set": record.prompt_set, "note": note}
        for record in _in_order(records, model_order)
    ]
    return frame(rows, FID_COLUMNS)


def compare(
    records: Sequence[FidRecord],
    baseline: str,
    model_order: Sequence[str] = (),
    note: str = "",
    margins: Mapping[str, float] | None = None,
    identical: Collection[frozenset[str]] = (),
) -> pd.DataFrame:
    """Every other model against the baseline, for each set of prompts, extractor, reference, guidance scale and N.

    Arms of equal guidance scale are compared; an arm without one is compared with every arm of the other model.
    Differences are model minus baseline, so above 0 the model is worse. `difference` is that of the plain FIDs;
    `difference_jackknife` is corrected for bias, which equal N does not cancel (plain differences favour the less
    diverse model); the interval from `low` to `high`, `standard_error` and the two-sided `p` belong to it. The
    intervals from `low_simultaneous` to `high_simultaneous` hold together for all comparisons at the same N (models,
    guidance scales, extractors and references), and for those of all sets of prompts at the largest N of each, which are read
    together; `p_adjusted` belongs to them; `finding` is what that interval shows
    (`findings.finding_of`). `difference_means` and `difference_covariances` are the parts of `difference_jackknife`.
    `half_sampling_error` is the standard error from random halves of the images, a check. `difference_infinity` is that
    of FID∞, with its interval.

    Args:
        margins: by extractor, the difference that would not matter; those without one have none.
        identical: pairs of arms whose images are the same. They have no p, and do not count among the comparisons.

    Returns:
        COMPARISON_COLUMNS, sorted by set of prompts, extractor,
        reference, model, guidance scale and N; no row if there is nothing to compare.

    Raises:
        InputError: there is no such baseline; or the two arms of a pair differ in their N or their reference.
    """
    models = list(dict.fromkeys(record.model for record in records))
    if baseline not in models:
        raise InputError(f"baseline: there is no FID of a model {baseline!r}; there are {', '.join(models) or 'none'}")
    ordered = _in_order(records, model_order)
    sets = list(dict.fromkeys(record.prompt_set for record in ordered))
    for each in sets:
        _check_complete([record for record in ordered if record.prompt_set == each], baseline)
    pairs = list(pairs_with_baseline(ordered, baseline, lambda record: (*record.view, record.n)))
    # By arms, then by N: an arm without a guidance scale is in several pairs at each N.
    place = {record.arm: index for index, record in reversed(list(enumerate(ordered)))}
    pairs.sort(
        key=lambda pair: (
            sets.index(pair[1].prompt_set),
            pair[1].view,
            place[pair[1].arm],
            place[pair[0].arm],
            pair[1].n,
        )
    )
    margins = margins or {}
    rows = [
        _difference(*_checked(theirs, ours)) | {"note": note, "margin": margins.get(ours.extractor, math.nan)}
        for theirs, ours in pairs
    ]
    largest = {
        each: max(row["n"] for row in rows if row["prompt_set"] == each) for each in {r["prompt_set"] for r in rows}
    }
    families = [0 if row["n"] == largest[row["prompt_set"]] else row["n"] for row in rows]
    for family in set(families):
        _adjust([row for row, of in zip(rows, families, strict=True) if of == family], identical)
    return frame(rows, COMPARISON_COLUMNS)


def _in_order(records: Sequence[FidRecord], model_order: Sequence[str]) -> list[FidRecord]:
    rank = {model: index for index, model in enumerate(model_order)}
    sets = list(dict.fromkeys(record.prompt_set for record in records))

    def key(record: FidRecord) -> tuple[int, str, str, int, str, float, int]:
        scale = -math.inf if record.guidance_scale is None else record.guidance_scale
        view = record.extractor, record.reference.selection
        return sets.index(record.prompt_set), *view, rank.get(record.model, len(rank)), record.model, scale, record.n

    ordered = sorted(records, key=key)
    for one, other in itertools.pairwise(ordered):
        if key(one) == key(other):
            raise InputError(
                f"the FID of {one.label} by {one.extractor} at N = {one.n:,} is there twice: {one.arm}, {other.arm}"
            )
    return ordered


def _check_complete(records: Sequence[FidRecord], baseline: str) -> None:
    """Raises InputError where one side of a comparison lacks an extractor, a reference or an N that the other has."""
    found: dict[tuple[str, float | None], dict[tuple[str, str], set[int]]] = {}
    labels = {}
    for record in records:
        found.setdefault((record.model, record.guidance_scale), {}).setdefault(record.view, set()).add(record.n)
        labels[record.model, record.guidance_scale] = record.label
    views = {model: {record.view for record in records if record.model == model} for model, _ in found}
    for model in views:
        for view in sorted(views[model] ^ views[baseline]):
            lacking = baseline if view in views[model] else model
            raise InputError(
                f"{baseline} and {model} cannot be compared: there is no FID of {lacking} by {view[0]} with the reference "
                f"{view[1]}; run compute_fid for both"
            )
    for ours in found:
        for theirs in found:
            scales = ours[1], theirs[1]
            if ours[0] == baseline or theirs[0] != baseline or not (None in scales or scales[0] == scales[1]):
                continue
            for view in sorted(found[ours].keys() & found[theirs].keys()):
                alone = sorted(found[theirs][view] ^ found[ours][view])
                if alone:
                    lacking_arm, other = (ours, theirs) if alone[0] in found[theirs][view] else (theirs, ours)
                    missing = ", ".join(f"{n:,}" for n in alone if n in found[other][view])
                    raise InputError(
                        f"{labels[theirs]} and {labels[ours]} cannot be compared by {view[0]}: there is no FID of "
                        f"{labels[lacking_arm]} at N = {missing}"
                    )


def _checked(a: FidRecord, b: FidRecord) -> tuple[FidRecord, FidRecord]:
    """Baseline and model, if they can be compared."""
    if a.reference != b.reference:
        raise InputError(
            f"{a.label} and {b.label} cannot be compared by {a.extractor} at N = {a.n:,}: their references differ, "
            f"{_describe(a.reference)} and {_describe(b.reference)}; compute both with the same one"
        )
    if (a.dims, a.weights, a.block_sizes) != (b.dims, b.weights, b.block_sizes):
        raise InputError(
            f"{a.label} and {b.label} cannot be compared by {a.extractor} at N = {a.n:,}: their dimensions, weights "
            "or jackknife blocks differ; remove both files and run compute_fid again"
        )
    return a, b


def _describe(reference: ReferenceRecord) -> str:
    count = "" if reference.n is None else f", {reference.n:,} images"
    return f"{reference.images} ({reference.selection}{count}, key {reference.key})"


def _difference(a: FidRecord, b: FidRecord) -> dict[str, Any]:
    """One row of the comparison: b, the model, against a, the baseline."""
    edges = np.append(0, np.cumsum(a.block_sizes))
    estimate = of_pseudo_values(np.subtract(b.pseudo_values, a.pseudo_values), edges, a.confidence)
    return {
        "prompt_set": b.prompt_set,
        "baseline": a.model,
        "model": b.model,
        "guidance_scale": a.guidance_scale if b.guidance_scale is None else b.guidance_scale,
        "baseline_arm": a.arm,
        "arm": b.arm,
        "extractor": b.extractor,
        "weights": b.weights,
        "n": b.n,
        "dims": b.dims,
        "difference": b.fid - a.fid,
        "difference_jackknife": estimate.estimate,
        "low": estimate.low,
        "high": estimate.high,
        "confidence": estimate.confidence,
        "method": b.method,
        "standard_error": estimate.standard_error,
        "half_sampling_error": _half_sampling_error(a, b),
        "p": estimate.p_value,
        "difference_means": b.means - a.means,
        "difference_covariances": estimate.estimate - (b.means - a.means),
        **_difference_infinity(a, b, estimate),
        "reliable": a.reliable and b.reliable,
        "interval": estimate,
        **b.reference_columns(),
    }


def _adjust(rows: list[dict[str, Any]], identical: Collection[frozenset[str]]) -> None:
    """Adds to the comparisons at one N what depends on all of them."""
    same = [frozenset((row["baseline_arm"], row["arm"])) in identical for row in rows]
    for row in itertools.compress(rows, same):
        alone = row.pop("interval")
        row |= {"finding": IDENTICAL, "p": math.nan, "p_adjusted": math.nan}
        row |= {"low_simultaneous": alone.low, "high_simultaneous": alone.high}
    rows = [row for row, is_same in zip(rows, same, strict=True) if not is_same]
    for row, (wide, p) in zip(rows, simultaneous([row.pop("interval") for row in rows]), strict=True):
        row["finding"] = finding_of(wide.low, wide.high, row["reliable"], row["margin"])
        row |= {"p_adjusted": p, "low_simultaneous": wide.low, "high_simultaneous": wide.high}


def _half_sampling_error(a: FidRecord, b: FidRecord) -> float | None:
    if a.random_halves is None or b.random_halves is None:
        return None
    return half_sampling_error(np.array(a.random_halves), np.array(b.random_halves))


def _difference_infinity(a: FidRecord, b: FidRecord, error: Estimate) -> dict[str, float | None]:
    if a.halves is None or b.halves is None:
        return {"difference_infinity": None, "infinity_low": None, "infinity_high": None}
    estimate = fid_infinity(b.fid - a.fid, np.subtract(b.halves, a.halves), error)
    return {"difference_infinity": estimate.estimate, "infinity_low": estimate.low, "infinity_high": estimate.high}
