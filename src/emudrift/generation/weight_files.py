"""Safetensors files: names, shapes and dtypes of their tensors, and their values scanned while they are hashed."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from emudrift.errors import InputError

CHUNK = 1 << 23
"""Bytes read at once; a multiple of every dtype's size."""

_EXPONENTS = {
    "F64": ("<u8", 0x7FF << 52),
    "F32": ("<u4", 0xFF << 23),
    "F16": ("<u2", 0x1F << 10),
    "BF16": ("<u2", 0xFF << 7),
}
"""Of floating-point dtypes: the integers of that size, and the bits of the exponent, all of which NaN and infinity have set."""
FLOATS = frozenset(_EXPONENTS)
"""The dtypes of weights that are not quantised, as safetensors names them."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file, without its values: `dtype` as safetensors names it, such as BF16."""

    shape: tuple[int, ...]
    dtype: str


def scan_tensors(paths: Iterable[Path]) -> dict[str, Tensor]:
    """Names, shapes and dtypes of the tensors in several files. Raises InputError if a file is incomplete."""
    found = {}
    for path in paths:
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                    part = file.get_slice(name)
                    found[name] = Tensor(tuple(part.get_shape()), part.get_dtype())
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: incomplete safetensors file ({error}); copy or download it again") from error
    return found


def hash_weights(path: Path) -> str:
    """sha256 of a safetensors file, every value of which is looked at on the way.

    Raises:
        InputError: a weight is NaN or infinite; the message names its tensor.
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        length = file.read(8)
        header = file.read(min(int.from_bytes(length, "little"), path.stat().st_size))
        digest.update(length + header)
        try:
            tensors: dict[str, dict[str, Any]] = json.loads(header)
            tensors.pop("__metadata__", None)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: incomplete safetensors file ({error}); copy or download it again") from error
        # The format has no gaps between tensors.
        for name, tensor in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"][0]):
            left = tensor["data_offsets"][1] - tensor["data_offsets"][0]
            while left:
                chunk = file.read(min(left, CHUNK))
                if not chunk:
                    raise InputError(f"{path}: incomplete safetensors file; copy or download it again")
                digest.update(chunk)
                left -= len(chunk)
                if not _is_finite(chunk, tensor["dtype"]):
                    raise InputError(
                        f"{path}: the weight {name} contains NaN or infinity, so its images would be meaningless; copy or "
                        "download the file again, or choose an earlier checkpoint of the training"
                    )
    return digest.hexdigest()


def _is_finite(data: bytes, dtype: str) -> bool:
    if dtype not in _EXPONENTS:
        return True
    kind, exponent = _EXPONENTS[dtype]
    values = np.frombuffer(data, kind)
    mask = values.dtype.type(exponent)
    return not bool(((values & mask) == mask).any())
