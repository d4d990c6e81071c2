"""Annotations of prompts on disk: a table with one row per prompt, next to the prompt table, which they do not change."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from emudrift.data.input_files import read_parquet, refuse_no_file
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import atomic_path, check_sha256

ID = "prompt_id"


def write_annotations(table: pd.DataFrame, path: Path) -> None:
    """Atomically writes annotations as parquet.

    Args:
        table: indexed by prompt_id; the columns hold numbers, booleans, texts or lists of texts; NaN or None: no value.
    """
    arrays = {ID: pa.array(table.index.tolist(), pa.string())}
    for name in table:
        values = [None if _is_missing(value) else value for value in table[name].tolist()]
        arrays[str(name)] = pa.array(values, pa.list_(pa.string())) if _has_lists(values) else pa.array(values)
    with atomic_path(path, checksum=True) as temporary:
        pq.write_table(pa.table(arrays), temporary)


def read_annotations(path: str | Path) -> pd.DataFrame:
    """Annotations by `write_annotations`, indexed by prompt_id, in the order of the prompt table.

    Columns hold int64 or float64 (NaN: no value), bool, text (None: no value), or tuples of texts (`categories`).

    Raises:
        InputError: the file is missing or damaged, or is no such table.
    """
    path = Path(path)
    refuse_no_file(path, "it is created by the rules annotate_prompts and select_prompts")
    check_sha256(path)
    table = read_parquet(path)
    if ID not in table.column_names:
        raise InputError(f"{path} has no column {ID!r}: it is no table of annotations; remove it and run again")
    columns: dict[str, pd.Series] = {}
    for field in table.schema:
        values = table.column(field.name).to_pylist()
        if pa.types.is_list(field.type):
            values = [None if value is None else tuple(value) for value in values]
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        kind = "bool" if pa.types.is_boolean(field.type) and None not in values else "object"
        columns[field.name] = pd.Series(values) if number else pd.Series(values, dtype=kind)
    return pd.DataFrame(columns).set_index(ID)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _has_lists(values: list[object]) -> bool:
    return any(isinstance(value, tuple | list) for value in values)
