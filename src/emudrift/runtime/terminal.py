"""Terminal output: tables, errors and log lines; the same text without styling if the output is not a terminal."""

import contextlib
import functools
import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

UNBROKEN = 100_000
"""Width if the output is not a terminal, so that every row stays on one line."""
_FAULT = re.compile(r"(?:[^(;]|\([^()]*\)|\(|;(?! ))*")
"""A message up to its hint, i.e. to the first semicolon outside parentheses."""


def is_watched(file: TextIO) -> bool:
    """Whether it is an interactive terminal with cursor control: not a pipe, a file or a dumb terminal."""
    return file.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@functools.cache
def console_on(file: TextIO) -> Console:
    """The shared console of a terminal, so that log lines are printed above a progress bar. Respects NO_COLOR."""
    return Console(file=file, force_terminal=True, highlight=False, markup=False, emoji=False)


def show(*views: RenderableType) -> None:
    """Prints to stdout: tables fitted to the terminal, text unchanged (wrapped by the terminal itself)."""
    if not is_watched(sys.stdout):
        print(plain(*views))
        return
    for view in views:
        console_on(sys.stdout).print(view, soft_wrap=isinstance(view, str | Text))


def plain(*views: RenderableType) -> str:
    """The plain-text output of `show`: aligned, without control codes, without line wrapping."""
    page = io.StringIO()
    console = Console(file=page, width=UNBROKEN, color_system=None, highlight=False, markup=False, emoji=False)
    for view in views:
        console.print(view, soft_wrap=isinstance(view, str | Text))
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def table(rows: list[dict[str, Any]]) -> Table:
    """A table with the keys of its rows as column heads: first column left-aligned, others right-aligned."""
    result = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for nth, name in enumerate(rows[0] if rows else {}):
        result.add_column(name, justify="right" if nth else "left", overflow="fold")
    for row in rows:
        result.add_row(*map(str, row.values()))
    return result


def fail(message: str) -> NoReturn:
    """Exits with status 1 and an error message per line."""
    for line in message.splitlines():
        if is_watched(sys.stderr):
            console_on(sys.stderr).print(styled(f"error: {line}"), soft_wrap=True)
        else:
            print(f"error: {line}", file=sys.stderr)
    sys.exit(1)


def styled(message: str, level: int = logging.INFO) -> Text:
    """A message with colours: `error:` in red, the fault in the default colour, and the hint after the semicolon dim."""
    if not message.startswith("error: "):
        return Text(message, style="yellow" if level == logging.WARNING else "red" if level > logging.WARNING else "")
    message = message.removeprefix("error: ")
    found = _FAULT.match(message)
    fault = found[0] if found else message
    return Text.assemble(("error: ", "bold red"), fault, (message[len(fault) :], "dim"))


def start_logging(log: Path | None = None) -> None:
    """Logs to stderr, and also to a file if given."""
    handlers: list[logging.Handler] = [TerminalHandler() if is_watched(sys.stderr) else logging.StreamHandler()]
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log, mode="w", encoding="utf-8"))
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.INFO, handlers=handlers)


class TerminalHandler(logging.Handler):
    """Log lines on a terminal: above the progress bar, with a dim time; errors without the time."""

    def __init__(self) -> None:
        super().__init__()
        self._console = console_on(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        time, _, message = self.format(record).partition(" ")
        text = styled(message, record.levelno)
        if not message.startswith("error: "):
            text = Text.assemble((f"{time} ", "dim"), text)
        self._console.print(text, soft_wrap=True)


class UnreadStream:
    """A stream that goes silent where nobody reads it any more (`snakemake … 2>&1 | grep -m1 …`), instead of raising."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._silenced():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._silenced():
            self._stream.flush()

    @contextlib.contextmanager
    def _silenced(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)


def survive_closed_pipes(logger: str) -> None:
    """Lets a logger go on where its reader has gone: Snakemake 9.27 waits for ever if it cannot say how a job ended."""
    for handler in logging.getLogger(logger).handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.stream = UnreadStream(handler.stream)


def duration(seconds: float) -> str:
    """40 s, 3 min, 2 h 5 min or 3 d 4 h."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
