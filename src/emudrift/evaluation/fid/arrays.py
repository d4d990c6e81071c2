"""The comparison of two models from arrays of features alone: no experiment, no workflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emudrift.errors import InputError
from emudrift.evaluation.blocks import BLOCKS, most_blocks, prompt_blocks, reference_blocks
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.evaluation.findings import finding_of
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION, SMALL_REFERENCE, of_pseudo_values
from emudrift.features.statistics import Array, load_reference_root


def compare_arrays(
    baseline: Array,
    model: Array,
    reference: Array | Path,
    groups: Sequence[str] | None = None,
    margin: float | None = None,
) -> dict[str, Any]:
    """The FID of the model less that of the baseline, with its interval and finding.

    Args:
        baseline, model: (n, d); row i of both belongs to the same prompt, and rows are in random order.
        reference: (m, d) features of real images, left out in blocks as well; or an .npz with mu and sigma, held fixed.
        groups: of each row, where prompts depend on each other: those of one group are left out together.
        margin: a difference that would not matter, above 0.

    Returns:
        `difference` (bias-corrected), `low`, `high`, `p`, `finding`, `limit` (N per dimension from which anything is found); the
        arms' `fid` and `fid_corrected`, `n`, `d`, `reference_n`, `blocks`, `method`, `margin`, `warnings`.

    Raises:
        InputError: arrays that do not fit, are not finite, or are too few.
    """
    if baseline.shape != model.shape or baseline.ndim != 2:
        raise InputError(
            f"the baseline's features are {baseline.shape} and the model's {model.shape}; expected (n, d) of the same images' "
            "captions, row i of both belonging together"
        )
    n, d = model.shape
    if groups is not None and len(groups) != n:
        raise InputError(f"there are {len(groups):,} groups for {n:,} rows; expected one for each row")
    if margin is not None and not margin > 0:
        raise InputError(f"the margin is {margin}; expected a difference above 0")
    blocks = prompt_blocks(n, groups, BLOCKS if isinstance(reference, Path) else most_blocks(len(reference)))
    if isinstance(reference, Path):
        real: Any = load_reference_root(reference, d)
        reference_n = real.n
    else:
        real, reference_n = Sample(reference, reference_blocks(len(reference), blocks)), len(reference)
    a, b = (compute_fid(features, real, blocks) for features in (baseline, model))
    found = of_pseudo_values(np.subtract(b.pseudo_values, a.pseudo_values), blocks.edges)
    return {
        "difference": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": found.p_value,
        "finding": finding_of(found.low, found.high, b.reliable, np.nan if margin is None else margin),
        "limit": MIN_N_PER_DIMENSION,
        "fid": {"baseline": a.fid, "model": b.fid},
        "fid_corrected": {"baseline": a.fid_jackknife, "model": b.fid_jackknife},
        "n": n,
        "d": d,
        "reference_n": reference_n,
        "blocks": len(blocks),
        "margin": margin,
        "confidence": found.confidence,
        "method": b.method,
        "warnings": _warnings(d, reference_n, isinstance(reference, Path)),
    }


def _warnings(d: int, m: int | None, fixed: bool) -> list[str]:
    found = []
    if fixed:
        found.append("the reference is held fixed: what other real images would change is not in the interval")
    if m is not None and m < SMALL_REFERENCE * d:
        found.append(f"the reference has {m:,} images, fewer than {SMALL_REFERENCE} for each of {d:,} dimensions")
    return found


def load_array(path: Path) -> Array:
    """Features (n, d) of a .npy, memory-mapped. Raises InputError where they are none."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot read the features {path} ({error}); expected a .npy of shape (n, d)") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiu":
        raise InputError(f"{path}: expected a .npy of numbers of shape (n, d)")
    return found


def load_groups(path: Path) -> list[str]:
    """One group per line. Raises InputError where the file cannot be read."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the groups {path}: {error}; expected text with one group per line") from error
