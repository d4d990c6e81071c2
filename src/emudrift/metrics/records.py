"""What compute_metric and compute_clip_score write for one arm, and the two tables that are made of it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, FiniteFloat

from emudrift.comparison import BETTER, NONE, WORSE
from emudrift.errors import InputError
from emudrift.metrics import CONFIDENCE, LOWER_IS_BETTER, SHARES, Interval, block_interval, mean_interval
from emudrift.records import load_record
from emudrift.uncertainty import holm

_SHARED: dict[str, Any] = {"extractor": "str", "weights": "str", "n": "int64"}
_REFERENCE: dict[str, Any] = {
    "reference": "str",
    "reference_selection": "str",
    "reference_n": "int64",
    "reference_key": "str",
    "method": "str",
    "note": "str",
}
METRIC_COLUMNS: dict[str, Any] = {
    "metric": "str",
    "arm": "str",
    "model": "str",
    "guidance_scale": "float64",
    **_SHARED,
    "value": "float64",
    "estimate": "float64",
    "low": "float64",
    "high": "float64",
    "confidence": "float64",
    **_REFERENCE,
}
DIFFERENCE_COLUMNS: dict[str, Any] = {
    "metric": "str",
    "baseline": "str",
    "model": "str",
    "guidance_scale": "float64",
    "baseline_arm": "str",
    "arm": "str",
    **_SHARED,
    "difference": "float64",
    "estimate": "float64",
    "low": "float64",
    "high": "float64",
    "confidence": "float64",
    "p": "float64",
    "p_holm": "float64",
    "finding": "str",
    **_REFERENCE,
}


class MetricRecord(BaseModel):
    """One metric of one arm at one N. It has either values without each block of prompts, or one value per image."""

    model_config = ConfigDict(frozen=True)

    metric: str
    arm: str
    model: str
    guidance_scale: FiniteFloat | None
    extractor: str
    weights: str
    n: int
    value: FiniteFloat
    leave_one_out: list[FiniteFloat]
    per_image: list[FiniteFloat]
    corrected: bool
    method: str
    reference: str
    reference_selection: str
    reference_n: int
    reference_key: str

    def interval(self) -> Interval:
        found = _interval(self.value, self.leave_one_out, self.per_image, self.n, self.corrected)
        # A share of images cannot lie outside 0 and 1.
        return replace(found, low=max(found.low, 0), high=min(found.high, 1)) if self.metric in SHARES else found

    def comparable(self) -> tuple[Any, ...]:
        """What two arms must share for their difference to mean anything."""
        blocks, images = len(self.leave_one_out), len(self.per_image)
        return (self.n, self.weights, self.method, self.reference, self.reference_n, self.reference_key, blocks, images)


class MetricFile(BaseModel):
    """Content of metrics/{metric}/{extractor}/{arm}/{n}.json."""

    model_config = ConfigDict(frozen=True)

    values: list[MetricRecord]


def load_metric_files(paths: Iterable[str | Path]) -> list[MetricRecord]:
    """Raises InputError, naming file and key, for a file that holds no such records."""
    remedy = "remove the file and run again"
    return [record for path in paths for record in load_record(path, MetricFile, remedy).values]


def metric_table(records: Sequence[MetricRecord], note: str = "") -> pd.DataFrame:
    """metrics.csv: METRIC_COLUMNS, in the order of the records.

    `value` is by the paper's formula. `estimate` is what the interval from `low` to `high` belongs to: corrected for bias
    where `method` names a jackknife estimate (kid, cmmd), else the value itself.
    """
    rows = []
    for record in records:
        found = record.interval()
        rows.append(
            record.model_dump(include=set(METRIC_COLUMNS))
            | {"estimate": found.estimate, "low": found.low, "high": found.high}
            | {"confidence": CONFIDENCE, "note": note}
        )
    return _frame(rows, METRIC_COLUMNS)


def difference_table(records: Sequence[MetricRecord], baseline: str, note: str = "") -> pd.DataFrame:
    """metric_differences.csv: every other model less the baseline at the same guidance scale, paired by prompt.

    An arm without a scale is compared with every arm of the other model. `p_holm` is adjusted for all rows of the table
    (metrics, models, guidance scales, extractors); `finding` says whether it is below 1 − confidence, and which way is better.
    Where there is no p, nothing is found, and the row does not count.

    Raises:
        InputError: two arms that cannot be compared: of other N, weights, reference or method.
    """
    rows = [_difference(a, b) | {"note": note} for a, b in _pairs(records, baseline)]
    tested = [row for row in rows if not math.isnan(row["p"])]
    for row, p_holm in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p_holm
        if p_holm < 1 - CONFIDENCE:
            row["finding"] = WORSE if (row["estimate"] > 0) == (row["metric"] in LOWER_IS_BETTER) else BETTER
    return _frame(rows, DIFFERENCE_COLUMNS)


def load_metric_table(path: str | Path, columns: dict[str, Any]) -> pd.DataFrame:
    """Reads metrics.csv or metric_differences.csv. Raises InputError if it is missing or is no such table."""
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8")
        if list(table.columns) != list(columns):
            raise InputError(f"{path}: its columns are {', '.join(table.columns)}; remove the file and run again")
        for column, kind in columns.items():
            if kind != "str":
                table[column] = pd.to_numeric(table[column].replace("", None)).astype(kind)
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a table of metrics ({error}); remove the file and run again") from error
    return table


def _pairs(records: Sequence[MetricRecord], baseline: str) -> Iterator[tuple[MetricRecord, MetricRecord]]:
    """Baseline and other arm, in the order of the others."""
    for ours in records:
        for theirs in records:
            same = (theirs.metric, theirs.extractor) == (ours.metric, ours.extractor)
            if not same or ours.model == baseline or theirs.model != baseline:
                continue
            if None in (ours.guidance_scale, theirs.guidance_scale) or ours.guidance_scale == theirs.guidance_scale:
                if ours.comparable() != theirs.comparable():
                    raise InputError(
                        f"{theirs.arm} and {ours.arm} cannot be compared by {ours.metric} of {ours.extractor}: their N, "
                        "weights, reference or method differ; remove both files and run again"
                    )
                yield theirs, ours


def _difference(a: MetricRecord, b: MetricRecord) -> dict[str, Any]:
    """One row: b, the model, less a, the baseline."""
    found = _interval(
        b.value - a.value,
        np.subtract(b.leave_one_out, a.leave_one_out).tolist(),
        np.subtract(b.per_image, a.per_image).tolist(),
        b.n,
        b.corrected,
    )
    return b.model_dump(include=set(DIFFERENCE_COLUMNS)) | {
        "baseline": a.model,
        "guidance_scale": a.guidance_scale if b.guidance_scale is None else b.guidance_scale,
        "baseline_arm": a.arm,
        "difference": b.value - a.value,
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "confidence": CONFIDENCE,
        "p": found.p,
        "p_holm": math.nan,
        "finding": NONE,
    }


def _interval(
    value: float, leave_one_out: Sequence[float], per_image: Sequence[float], n: int, corrected: bool
) -> Interval:
    return mean_interval(np.array(per_image)) if len(per_image) else block_interval(value, leave_one_out, n, corrected)


def _frame(rows: list[dict[str, Any]], columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
