"""Features on disk: computed once per shard or reference, stored as float32 .npy, and loaded for any N."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from emudrift.errors import InputError
from emudrift.runtime.atomic_files import atomic_path, check_sha256
from emudrift.runtime.progress import Progress

if TYPE_CHECKING:
    from emudrift.features.registry import Extractor


def write_features(
    path: Path, images: Iterable[Image.Image], total: int, extractor: "Extractor", batch_size: int, label: str
) -> None:
    """Computes and atomically writes the features (n, dims), float32, of `total` images, reporting progress.

    Raises:
        InputError: an image cannot be read, a feature is not finite, or the disk is full.
    """
    features = compute_features(images, total, extractor, batch_size, label)
    if len(features) != total:
        raise InputError(f"{path}: {len(features)} images were read, but {total} expected; nothing was written")
    write_array(path, features)


def compute_features(
    images: Iterable[Image.Image], total: int, extractor: "Extractor", batch_size: int, label: str
) -> np.ndarray:
    """Features (n, dims), float32, of `total` images, reporting progress. Raises InputError as `write_features` does."""
    with Progress(label, total, "image") as progress:

        def counted() -> Iterator[Image.Image]:
            for image in images:
                yield image
                progress.update()

        return extractor.features(counted(), batch_size)


def write_array(path: Path, features: np.ndarray) -> None:
    """Atomically writes an array as .npy."""
    # Via bytes, because np.save hides the reason of a failed write.
    with atomic_path(path, checksum=True) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(features))
        file.write(np.ascontiguousarray(features).tobytes())


def load_features(paths: Sequence[Path], n: int | None = None) -> np.ndarray:
    """Loads the first n rows (default: all) of the features in several files, in order: (n, dims), float32.

    Raises:
        InputError: a file is missing, damaged, of other dimensions, or shorter than the rows that it is named by (which only the
            last one may be); there are fewer than n rows; a value is not finite.
    """
    parts: list[np.ndarray] = []
    for path in paths:
        check_sha256(path, _remedy(path))
        try:
            part = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: cannot read the features ({error}); {_remedy(path)}") from error
        if part.dtype.kind != "f":
            raise InputError(f"{path}: features of type {part.dtype}, not float32; {_remedy(path)}")
        if part.ndim != 2 or (parts and part.shape[1] != parts[0].shape[1]):
            raise InputError(f"{path}: features of shape {part.shape} do not match those of {paths[0]}")
        if path != paths[-1] and len(part) != (rows := _rows_by_name(path, len(part))):
            raise InputError(f"{path}: has {len(part):,} of its {rows:,} rows; {_remedy(path)}")
        parts.append(part)
    rows = sum(len(part) for part in parts)
    if n is not None and rows < n:
        raise InputError(f"{n:,} images are required, but {paths[0].parent} has features of only {rows:,}")
    features = np.concatenate(parts)[:n]
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        start = np.cumsum([0] + [len(part) for part in parts])
        part = int(np.searchsorted(start, bad[0], side="right")) - 1
        raise InputError(f"{paths[part]}: row {int(bad[0] - start[part])} contains NaN or Inf; {_remedy(paths[part])}")
    return features


def _remedy(path: Path) -> str:
    """No rule declares the features of a shard, so that they are missed by nobody."""
    return "remove it and run again" if _of_shard(path) is None else "snakemake verify says what makes it again"


def _of_shard(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"(\d{6,})-(\d{6,})", path.stem)


def _rows_by_name(path: Path, otherwise: int) -> int:
    """How many rows a file has that is named like a shard; the others, such as the reference's, have any number."""
    named = _of_shard(path)
    return int(named[2]) - int(named[1]) if named else otherwise
