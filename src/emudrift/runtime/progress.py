"""Progress of long tasks: a bar on a terminal, otherwise a log line from time to time; both show rate and time left."""

import logging
import sys
import time
from types import TracebackType

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from emudrift.runtime.terminal import console_on, duration, is_watched

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0
NARROW, WIDE = 8, 30
"""Minimum and maximum width of the bar in columns. On narrow terminals the label is truncated to leave room for the meter."""
METER = 62
"""Columns for the meter, including the spaces around the bar."""


class Progress:
    """Counts finished units.

    with Progress("base-cfg3 000000-000500", total=500, unit="image") as progress:
        progress.update(1)

    Args:
        total: 0 if unknown; may be set later.
        unit: `B` for bytes, otherwise a singular noun.
    """

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self.skipped = 0
        self._start = self._last_line = time.monotonic()
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def skip(self, n: int) -> None:
        """Counts units finished by an earlier attempt, which do not enter the rate."""
        self.done += n
        self.skipped += n
        if n and self.unit != "B":
            logger.info("%s: %d of %d %ss already exist", self.label, n, self.total, self.unit)
        self._draw()

    def update(self, n: int = 1, note: str = "") -> None:
        """Counts units just finished.

        Args:
            note: additional status text, shown at the end.
        """
        self.done += n
        self._draw(note)
        now = time.monotonic()
        if self._bar is None and (now - self._last_line > SECONDS_BETWEEN_LINES or self.done == self.total):
            self._last_line = now
            logger.info("%s: %s", self.label, self.meter(note))

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def rate(self) -> float:
        """Units per second of this attempt."""
        return (self.done - self.skipped) / max(self.seconds(), 1e-9)

    def meter(self, note: str = "") -> str:
        """`120 of 500 images, 1,234 images per hour, 18 min left`; at the end, the time taken."""
        rate = self.rate()
        if self.unit == "B":
            parts = [f"{self.done / 1e6:,.1f}" + (f" of {self.total / 1e6:,.1f} MB" if self.total else " MB")]
            speed = f"{rate / 1e6:,.1f} MB/s"
        else:
            parts = [f"{self.done:,}" + (f" of {self.total:,} {self.unit}s" if self.total else f" {self.unit}s")]
            speed = f"{3600 * rate:,.0f} {self.unit}s per hour"
        if rate:
            parts.append(speed)
            if self.done < self.total:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
            elif self.total:
                parts.append(f"took {duration(self.seconds())}")
        return ", ".join(filter(None, [*parts, note]))

    def _draw(self, note: str = "") -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, total=self.total or None, meter=self.meter(note))

    def __enter__(self) -> "Progress":
        # Logging to a file means that Snakemake runs this job, possibly in parallel with others: bars would overwrite each other.
        if is_watched(sys.stderr) and not logging_to_file():
            console = console_on(sys.stderr)
            room = max(console.width - METER, 2 * NARROW)
            label = self.label if len(self.label) <= room - NARROW else f"{self.label[: room - NARROW - 1]}…"
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(min(room - len(label), WIDE)),
                TextColumn("{task.fields[meter]}"),
                console=console,
            )
            self._task = self._bar.add_task(label, total=self.total or None, meter=self.meter())
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def logging_to_file() -> bool:
    return any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger().handlers)
