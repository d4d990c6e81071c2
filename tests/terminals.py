"""Programs run on a real pseudo terminal and in a real pipe, for the tests of what people see."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl

from conftest import ROOT

SOURCE = str(ROOT / "src")
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return kept | {"PYTHONPATH": SOURCE, "TERM": "xterm-256color"} | changes


def on_terminal(*command: object, columns: int = 80, **changes: str) -> tuple[int, str]:
    """Exit status, and what a person sees of a program on a terminal so wide, control codes included."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**changes)
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # How Linux says that the other end was closed.
        pass
    os.close(ours)
    return process.wait(), seen.decode().replace("\r\n", "\n")


def in_pipe(*command: object, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, env=environment(**changes), check=False
    )
