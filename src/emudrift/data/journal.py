"""Values that took long to compute, appended to a file one by one: a job that was stopped goes on where it was."""

import json
import logging
import os
from pathlib import Path

from emudrift.errors import InputError

logger = logging.getLogger(__name__)


class Journal:
    """Values by what they were computed from. Declared by no rule, so that Snakemake never deletes it.

    Args:
        path: a JSONL file; made with its folder where it is missing. A line that was cut off is computed again.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.values = path, dict[str, float]()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
        damaged = 0
        for line in text.splitlines():
            try:
                record = json.loads(line)
                self.values[str(record["of"])] = float(record["value"])
            except (ValueError, KeyError, TypeError):
                damaged += 1
        if damaged:
            logger.warning("%s: %d damaged lines; their values are computed again", path, damaged)
        self._start = b"" if text.endswith(b"\n") or not text else b"\n"

    def add(self, of: str, value: float) -> None:
        """Raises InputError where it cannot be written."""
        self.values[of] = value
        line = self._start + json.dumps({"of": of, "value": value}).encode() + b"\n"
        self._start = b""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                if os.write(descriptor, line) != len(line):
                    raise InputError(f"cannot write {self.path}: no space left on device")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {(error.strerror or str(error)).lower()}") from error
