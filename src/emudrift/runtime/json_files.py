"""JSON files that one job writes and another reads, validated against their model."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from emudrift.errors import InputError
from emudrift.runtime.atomic_files import check_sha256, write_bytes_atomically

Record = TypeVar("Record")


def load_record(path: str | Path, kind: type[Record], remedy: str) -> Record:
    """Loads and validates a record.

    Args:
        kind: a pydantic model or a dataclass.
        remedy: what to do about an invalid file, for the error message.

    Raises:
        InputError: names the file, the key and what is wrong.
    """
    check_sha256(Path(path))
    try:
        # Programs that a file passes through may put a byte order mark before it (utf-8-sig).
        return TypeAdapter(kind).validate_python(json.loads(Path(path).read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}; {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); {remedy}") from error


def first_fault(error: ValidationError) -> str:
    """The key of the first error and what is wrong with it."""
    fault = error.errors()[0]
    return ": ".join([*(str(part) for part in fault["loc"]), fault["msg"]])


def write_json(path: str | Path, content: dict[str, Any]) -> None:
    """Atomically writes JSON with sorted keys, and its sha256 next to it."""
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    write_bytes_atomically(path, text.encode(), checksum=True)
