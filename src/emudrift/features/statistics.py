"""Mean and covariance of features: statistics of a reference, and the factorised form used for distances."""

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emudrift.errors import InputError
from emudrift.runtime.atomic_files import atomic_path, check_sha256

Array = np.ndarray

# Rows per step through a memory map: 4,096 x 2,048 float64 are 64 MiB.
CHUNK = 4096
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean `mu` (d,) and covariance `sigma` (d, d), float64, of n feature vectors; n is None if unknown."""

    mu: Array
    sigma: Array
    n: int | None = None


@dataclass(frozen=True, eq=False)
class ReferenceRoot:
    """A reference in the form used for computing distances.

    `mu` (d,); `root` (d, r) with root rootᵀ = sigma, r the numerical rank of sigma; `trace` of sigma; `n` as in Statistics.
    """

    mu: Array
    root: Array
    trace: float
    n: int | None = None


def statistics(features: Array) -> Statistics:
    """Mean and unbiased covariance (ddof = 1), in float64, of features (n, d) of any float type, memory-mapped or not.

    Raises:
        InputError: fewer than 2 rows, not two axes, or a row is not finite.
    """
    mean = feature_mean(features)
    n, d = features.shape
    # Two passes, because sums of squares about zero lose precision if the mean is large compared with the spread.
    sigma = np.zeros((d, d))
    for _, chunk in chunks(features):
        chunk -= mean
        sigma += chunk.T @ chunk
    return Statistics(mean, sigma / (n - 1), n)


def feature_mean(features: Array) -> Array:
    """Mean (d,), float64, of features (n, d). Raises InputError as `statistics` does."""
    if features.ndim != 2 or features.shape[0] < 2 or features.shape[1] < 1:
        raise InputError(f"features have shape {features.shape}; expected (n, d) with at least 2 rows (images)")
    total = np.zeros(features.shape[1])
    for start, chunk in chunks(features):
        finite = np.isfinite(chunk).all(axis=1)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite)[0])
            raise InputError(
                f"features: row {row} (of {features.shape[0]}) contains NaN or Inf; extract its image's features again"
            )
        total += chunk.sum(axis=0)
    return total / features.shape[0]


def reference_root(stats: Statistics) -> ReferenceRoot:
    """The root of a covariance from its eigendecomposition, without directions that are zero up to rounding.

    Raises:
        InputError: sigma has a clearly negative eigenvalue, so it is not a covariance matrix.
    """
    values, vectors = np.linalg.eigh(stats.sigma)
    largest = max(float(values[-1]), 0.0)
    # Statistics computed in float32 by other programs reach about -1e-6.
    if values[0] < -1e-4 * largest or (largest == 0 and values[0] < 0):
        raise InputError(
            f"reference statistics: sigma has the eigenvalue {values[0]:.3g} (largest {values[-1]:.3g}); "
            "a covariance matrix has no negative ones"
        )
    # Numerical rank as in numpy.linalg.matrix_rank. The dropped directions add at most d² ε λ_max to a trace.
    kept = values > len(values) * EPSILON * largest
    return ReferenceRoot(stats.mu, vectors[:, kept] * np.sqrt(values[kept]), float(np.trace(stats.sigma)), stats.n)


def write_statistics(path: str | Path, stats: Statistics, source: dict[str, Any]) -> None:
    """Atomically writes statistics as .npz (mu, sigma, n, source as JSON, root); equal input gives identical bytes.

    The root (d, r) is that of `reference_root`, stored so that it is computed only once for many distances.
    `python -m pytorch_fid a.npz b.npz` can read the file.

    Raises:
        InputError: sigma is not a covariance matrix, or the file cannot be written.
    """
    arrays: dict[str, Any] = {"mu": stats.mu.astype(np.float64), "sigma": stats.sigma.astype(np.float64)}
    arrays |= {} if stats.n is None else {"n": np.int64(stats.n)}
    arrays["source"] = np.array(json.dumps(source, sort_keys=True, ensure_ascii=False))
    arrays["root"] = reference_root(stats).root
    # NumPy dates the zip members 1980, so the bytes do not depend on the time of the run.
    with atomic_path(path, checksum=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_reference_root(path: str | Path, d: int | None = None) -> ReferenceRoot:
    """Loads the root stored by `write_statistics`; computes it from sigma if the file has none.

    Raises:
        InputError: as `load_statistics`; or the root has the wrong shape.
    """
    stats, root = _load(path, d)
    if root is None:
        return reference_root(stats)
    if root.ndim != 2 or len(root) != len(stats.mu) or not np.isfinite(root).all():
        raise InputError(f"{path}: root has shape {root.shape}; remove the file and run reference_statistics again")
    return ReferenceRoot(stats.mu, root, float(np.trace(stats.sigma)), stats.n)


def load_statistics(path: str | Path, d: int | None = None) -> Statistics:
    """Loads statistics from an .npz with mu and sigma: our own, or those of pytorch-fid, TTUR and others, which lack n.

    Args:
        d: the required dimension.

    Raises:
        InputError: no such file, not an .npz, a key is missing, not finite, not symmetric, or wrong dimension.
    """
    return _load(path, d)[0]


def _load(path: str | Path, d: int | None) -> tuple[Statistics, Array | None]:
    """Statistics, and their root if the file has one."""
    arrays = _load_arrays(Path(path))
    mu, sigma = (arrays[key].astype(np.float64) for key in ("mu", "sigma"))
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or not len(mu):
        raise InputError(f"{path}: mu has shape {mu.shape} and sigma {sigma.shape}; expected (d,) and (d, d)")
    if d is not None and len(mu) != d:
        raise InputError(
            f"{path}: mu has {len(mu)} dimensions, but the extractor has {d}: use statistics of that extractor"
        )
    for key, array in (("mu", mu), ("sigma", sigma)):
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {key} contains NaN or Inf; compute the statistics again")
    # Statistics computed in float32 are symmetric to about 1e-7.
    if np.abs(sigma - sigma.T).max() > 1e-5 * np.abs(sigma).max():
        raise InputError(f"{path}: sigma is not symmetric; it must be the covariance matrix (d, d) of the features")
    if sigma.diagonal().min() < 0:
        raise InputError(
            f"{path}: sigma has a negative variance at index {int(sigma.diagonal().argmin())}, so it is not a covariance matrix"
        )
    root = arrays["root"].astype(np.float64) if "root" in arrays else None
    return Statistics(mu, (sigma + sigma.T) / 2, _count(path, arrays.get("n"))), root


def _load_arrays(path: Path) -> dict[str, Array]:
    """`mu` and `sigma`, and `n` and `root` where they are there: real numbers of any shape."""
    check_sha256(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: is a single array; expected an .npz with mu and sigma")
            missing = [key for key in ("mu", "sigma") if key not in archive]
            if missing:
                raise InputError(f"{path}: has no {' and no '.join(missing)}; it has {', '.join(archive) or 'nothing'}")
            found = {key: archive[key] for key in ("mu", "sigma", "n", "root") if key in archive}
    except OSError as error:
        raise InputError(f"{path}: cannot read the statistics: {(error.strerror or str(error)).lower()}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, TypeError, EOFError) as error:
        raise InputError(
            f"{path}: damaged or not a numeric .npz file ({error}); expected mu and sigma in it"
        ) from error
    for key, array in found.items():
        if array.dtype.kind not in "fiu":
            raise InputError(f"{path}: {key} has values of type {array.dtype}; expected real numbers")
    return found


def _count(path: str | Path, n: Array | None) -> int | None:
    if n is None:
        return None
    if n.ndim or not np.isfinite(n) or n < 2 or n != int(n):
        raise InputError(f"{path}: n is {n}; expected the number of images, a whole number of at least 2")
    return int(n)


def chunks(features: Array) -> Iterator[tuple[int, Array]]:
    """Yields the first row index and a float64 copy of each chunk."""
    for start in range(0, len(features), CHUNK):
        yield start, np.array(features[start : start + CHUNK], dtype=np.float64)
