"""The record of one FID: content of the JSON that compute_fid writes and everything after it reads."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from emudrift.runtime.json_files import load_record


class ReferenceRecord(BaseModel):
    """The real images of one FID. `n` is None where ready statistics do not say how many images they were made from."""

    model_config = ConfigDict(frozen=True)

    key: str
    images: str
    selection: Literal["full", "same"]
    n: int | None


class FidEstimate(BaseModel):
    """FID of one set of images, with its bias-corrected estimate and interval, and what differences are computed from.

    `leave_one_out`, `halves`, `quarters` and `random_halves` are FIDs of parts of the images (`resampling.Resampled`), whose
    blocks have `block_sizes` images. `bias_order` and `pseudo_values` as in `intervals`. `fid_jackknife` and its interval are the
    mean of the pseudo-values and its t interval, but never below 0. `means` is the part of the estimate that lies between
    the means (`parts.mean_part`); the rest lies in the covariances. `fid_infinity` is None for fewer than 8 blocks.
    `depends_on_reference`: images made from the reference's own, whose estimate is the plain value. `reference_bias`: how much a
    reference that is held fixed is expected to add to the distance; None where nothing is known of its size, 0 where it is
    resampled. `reliable`: whether `intervals.enough_images`; below that an absolute FID says more about n than about the images,
    and no difference is claimed.
    """

    model_config = ConfigDict(frozen=True)

    n: int
    dims: int
    fid: FiniteFloat
    fid_jackknife: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    confidence: FiniteFloat
    method: str
    block_sizes: list[int]
    leave_one_out: list[FiniteFloat]
    halves: list[FiniteFloat] | None
    quarters: list[FiniteFloat] | None
    random_halves: list[tuple[FiniteFloat, FiniteFloat]] | None
    bias_order: FiniteFloat
    pseudo_values: list[FiniteFloat]
    means: FiniteFloat
    fid_infinity: FiniteFloat | None
    fid_infinity_low: FiniteFloat | None
    fid_infinity_high: FiniteFloat | None
    fid_infinity_method: str | None
    depends_on_reference: bool
    reference_bias: FiniteFloat | None
    reliable: bool


class FidRecord(FidEstimate):
    """The FID of one arm by one extractor, against one reference, at one N.

    `prompt_set` is the name of the arm's set of prompts in the config, which can change while the record stays: it is not stored.
    """

    prompt_set: str = Field("", exclude=True)
    arm: str
    model: str
    guidance_scale: FiniteFloat | None
    extractor: str
    extractor_settings: dict[str, Any]
    weights: str
    reference: ReferenceRecord

    @property
    def label(self) -> str:
        """For people: `base, guidance 3`."""
        return self.model if self.guidance_scale is None else f"{self.model}, guidance {self.guidance_scale:g}"

    @property
    def view(self) -> tuple[str, str]:
        """What the images are seen through: extractor, and selection of the reference."""
        return self.extractor, self.reference.selection

    def reference_columns(self) -> dict[str, Any]:
        reference = self.reference
        return {
            "reference": reference.images,
            "reference_selection": reference.selection,
            "reference_n": reference.n,
            "reference_key": reference.key,
        }


def load_records(paths: Iterable[str | Path]) -> list[FidRecord]:
    """Reads what compute_fid wrote. Raises InputError, naming file and key, for a file that is not such a record."""
    remedy = "remove the file and run compute_fid again"
    return [load_record(path, FidRecord, remedy) for path in paths]
