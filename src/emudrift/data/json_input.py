"""JSON files that users bring, with errors that name the entry and the key."""

import json
import re
from pathlib import Path
from reprlib import repr as short
from typing import Any

from emudrift.data.csv_files import Rows, read_text
from emudrift.data.input_files import refuse_no_file
from emudrift.errors import InputError


def value_of(record: dict[str, Any], key: str, where: str) -> Any:
    if key not in record:
        raise InputError(f"{where} has no {key!r}; it has {', '.join(map(repr, record)) or 'nothing'}")
    return record[key]


def integer(record: dict[str, Any], key: str, where: str, maximum: int = 2**63 - 1) -> int:
    """An integer from 0 to `maximum`, possibly as a string of digits (leading zeros allowed)."""
    value = value_of(record, key, where)
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,19}\s*", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise InputError(f"{where}: {key!r} is {short(value)}, not a whole number from 0 to {maximum}")
    return value


def unique(record: dict[str, Any], key: str, where: str, seen: set[int]) -> int:
    """An integer that is not in `seen`; adds it."""
    value = integer(record, key, where)
    if value in seen:
        raise InputError(f"{where}: {key!r} is {value}, as in an earlier entry: ids must be unique")
    seen.add(value)
    return value


def text_of(record: dict[str, Any], key: str, where: str) -> str:
    value = value_of(record, key, where)
    if not isinstance(value, str):
        raise InputError(f"{where}: {key!r} is {short(value)}, not text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{where}: {key!r} contains an unpaired surrogate (half a character), which no file can store")
    return value


def parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        hint = " (the text ends too early: is the file truncated?)" if cut else ""
        raise InputError(
            f"{where} is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}{hint}"
        ) from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits; nesting without end
        raise InputError(f"{where} is not readable JSON: {error}") from error


def load_json(path: Path, help_: str) -> Any:
    """The content of a JSON file. `help_`: what is needed, where there is no file."""
    refuse_no_file(path, help_)
    return parse_json(read_text(path), str(path))


def list_of_objects(
    record: dict[str, Any], key: str, where: str | Path, *, may_be_empty: bool = False
) -> list[dict[str, Any]]:
    value = value_of(record, key, str(where))
    if not isinstance(value, list) or not (value or may_be_empty):
        found = "empty" if value == [] else f"{type(value).__name__}"
        raise InputError(f"{where}: {key!r} is {found}, not a non-empty list")
    for index, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise InputError(f"{where}: {key}[{index}] is {short(entry)}, not an object")
    return value


def read_jsonl(path: Path) -> Rows:
    """Its keys, and its objects with their names in errors."""
    rows = []
    # Not splitlines(), which also splits at U+2028 and similar characters that may occur in a caption.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}: line {number}"
            record = parse_json(line, where)
            if not isinstance(record, dict):
                raise InputError(f"{where} contains {type(record).__name__}, not an object")
            rows.append((where, record))
    return list(dict.fromkeys(key for _, record in rows for key in record)), rows
