"""FIDs that were computed before: kept where no rule deletes them, and found again by all that they were computed from."""

import hashlib
import logging
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from emudrift.errors import InputError
from emudrift.evaluation.blocks import Blocks
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.record import FidEstimate
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.features.statistics import Array, ReferenceRoot
from emudrift.runtime.json_files import load_record, write_json

PACKAGE = Path(__file__).resolve().parents[2]


class KeptEstimate(BaseModel):
    """An estimate, and the sha256 of all that it was computed from."""

    model_config = ConfigDict(frozen=True)

    key: str
    estimate: FidEstimate


def kept_estimate(
    path: Path, features: Array, reference: ReferenceRoot | Sample, blocks: Blocks, random_halves: bool
) -> FidEstimate:
    """What `compute_fid` gives: from `path` if it was computed from the same, else computed, and kept there.

    A kept estimate with random halves is as good where they are not asked for. A damaged file is computed again.
    """
    key = key_of(features, reference, blocks)
    if path.exists():
        try:
            kept = load_record(path, KeptEstimate, "it is no longer used")
        except InputError as error:
            logging.warning("%s; computed again", error)
            kept = None
        if kept and kept.key == key and (kept.estimate.random_halves is not None or not random_halves):
            return kept.estimate
    found = compute_fid(features, reference, blocks, random_halves)
    write_json(path, KeptEstimate(key=key, estimate=found).model_dump(mode="json"))
    return found


def key_of(features: Array, reference: ReferenceRoot | Sample, blocks: Blocks) -> str:
    """A sha256 of features, reference, their blocks, and the code that makes an estimate of them."""
    digest = hashlib.sha256(code().encode())
    arrays = [features, blocks.labels]
    if isinstance(reference, Sample):
        arrays += [reference.features, reference.blocks.labels]
    else:
        arrays += [reference.mu, reference.root, np.array([reference.trace, reference.n or 0])]
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@cache
def code() -> str:
    """A sha256 of the modules that estimates depend on."""
    folders = [PACKAGE / "evaluation/fid", PACKAGE / "evaluation", PACKAGE / "features"]
    named = {"intervals.py", "blocks.py", "statistics.py"}
    files = [
        file for folder in folders for file in sorted(folder.glob("*.py")) if folder.name == "fid" or file.name in named
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
