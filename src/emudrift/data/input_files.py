"""Validation and loading of input files."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emudrift.errors import InputError
from emudrift.runtime.permissions import refuse_unreadable


def inside(file_name: str, where: str) -> str:
    """Returns the file name if it is a relative path inside the image folder. Raises InputError otherwise."""
    absolute = file_name[:1] in ("/", "\\") or re.match(r"[A-Za-z]:", file_name)
    if not file_name.strip() or absolute or ".." in re.split(r"[/\\]", file_name) or re.search(r"[\0-\x1f]", file_name):
        raise InputError(
            f"{where}: the file name {file_name!r} must be relative to the image folder and stay inside it"
            " (not empty, no leading '/', no '..', no control characters)"
        )
    return file_name


def refuse_no_file(path: Path, help_: str) -> None:
    if not path.exists():
        raise InputError(f"{path} does not exist: {help_}")
    if not path.is_file():
        raise InputError(f"{path} is not a file: {help_}")


def read_parquet(path: Path) -> pa.Table:
    refuse_unreadable(path)
    try:
        # Not pq.read_table, which interprets folder names such as `split=test` as columns.
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a readable parquet file: {error}") from error
