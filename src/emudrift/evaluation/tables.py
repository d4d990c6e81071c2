"""Tables of results as CSV: their columns and types, written and read back exactly."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from emudrift.errors import InputError
from emudrift.runtime.atomic_files import atomic_path

Finding = Literal["worse", "better", "no difference found"]

WORSE: Finding = "worse"
BETTER: Finding = "better"
NONE: Finding = "no difference found"

# Columns of fid.csv and comparison.csv with their types; text is never guessed (a model may be called "null" or "007").
FID_COLUMNS: dict[str, Any] = {
    "arm": "str",
    "model": "str",
    "guidance_scale": "float64",
    "extractor": "str",
    "weights": "str",
    "n": "int64",
    "dims": "int64",
    "fid": "float64",
    "fid_jackknife": "float64",
    "low": "float64",
    "high": "float64",
    "confidence": "float64",
    "method": "str",
    "fid_infinity": "float64",
    "fid_infinity_low": "float64",
    "fid_infinity_high": "float64",
    "reliable": "bool",
    "reference": "str",
    "reference_selection": "str",
    "reference_n": "Int64",
    "reference_key": "str",
    "note": "str",
}

COMPARISON_COLUMNS: dict[str, Any] = {
    "baseline": "str",
    "model": "str",
    "guidance_scale": "float64",
    "baseline_arm": "str",
    "arm": "str",
    "extractor": "str",
    "weights": "str",
    "n": "int64",
    "dims": "int64",
    "difference": "float64",
    "difference_jackknife": "float64",
    "low": "float64",
    "high": "float64",
    "confidence": "float64",
    "method": "str",
    "standard_error": "float64",
    "half_sampling_error": "float64",
    "p": "float64",
    "p_holm": "float64",
    "low_holm": "float64",
    "high_holm": "float64",
    "difference_infinity": "float64",
    "infinity_low": "float64",
    "infinity_high": "float64",
    "reliable": "bool",
    "finding": "str",
    "reference": "str",
    "reference_selection": "str",
    "reference_n": "Int64",
    "reference_key": "str",
    "note": "str",
}


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Writes fid.csv or comparison.csv, completely or not at all; equal tables give equal bytes."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n", encoding="utf-8")


def load_table(path: str | Path) -> pd.DataFrame:
    """Reads what `write_table` wrote. Raises InputError if the file is missing or is no such table."""
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a table ({error}); remove the file and run again") from error
    for columns in (FID_COLUMNS, COMPARISON_COLUMNS):
        if list(table.columns) == list(columns):
            return _typed(table, columns, path)
    raise InputError(f"{path}: neither fid.csv nor comparison.csv; its columns are {', '.join(table.columns)}")


def rows_of(table: pd.DataFrame) -> list[Any]:
    """The rows of either table, with its columns as attributes."""
    return list(table.itertuples(index=False))


def _typed(table: pd.DataFrame, columns: dict[str, Any], path: str | Path) -> pd.DataFrame:
    try:
        for column, kind in columns.items():
            if kind == "bool":
                table[column] = table[column].map({"True": True, "False": False}).astype("bool")
            elif kind != "str":
                table[column] = pd.to_numeric(table[column].replace("", None)).astype(kind)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: column {column}: {error}; remove the file and run again") from error
    return table


def frame(rows: list[dict[str, Any]], columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


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
