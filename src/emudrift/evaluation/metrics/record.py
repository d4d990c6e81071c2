"""The record of one metric of one arm."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat

from emudrift.evaluation.intervals import Estimate, block_interval, mean_interval
from emudrift.runtime.json_files import load_record


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
    higher_is_better: bool
    bounds: tuple[float | None, float | None]
    method: str
    reference: str
    reference_selection: str
    reference_n: int
    reference_key: str

    def interval(self) -> Estimate:
        found = interval_of(self.value, self.leave_one_out, self.per_image, self.n, self.corrected)
        least, most = self.bounds
        low = found.low if least is None else max(found.low, least)
        return replace(found, low=low, high=found.high if most is None else min(found.high, most))

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


def interval_of(
    value: float, leave_one_out: Sequence[float], per_image: Sequence[float], n: int, corrected: bool
) -> Estimate:
    return mean_interval(np.array(per_image)) if len(per_image) else block_interval(value, leave_one_out, n, corrected)
