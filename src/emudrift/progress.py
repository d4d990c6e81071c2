"""Progress of long work: a bar on a terminal, else a line in the log now and then, with rate and time left."""

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts finished units.

    with Progress("base-cfg3 000000-000500", total=500, unit="image") as progress:
        progress.update(1)
    """

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self.skipped = 0
        self._start = self._last_line = time.monotonic()
        # A log file beside the terminal means that a workflow runs us, perhaps next to others: bars would overwrite each other.
        bar = sys.stderr.isatty() and not logging_to_file()
        self._bar = tqdm(total=total, unit=unit, desc=label, dynamic_ncols=True) if bar else None

    def skip(self, n: int) -> None:
        """Counts units that an earlier attempt finished; they play no part in the rate."""
        self.done += n
        self.skipped += n
        if self._bar is not None:
            self._bar.initial = n
            self._bar.update(n)
        elif n:
            logger.info("%s: %d of %d %ss were there already", self.label, n, self.total, self.unit)

    def update(self, n: int = 1) -> None:
        self.done += n
        if self._bar is not None:
            self._bar.update(n)
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES or self.done == self.total:
            self._last_line = time.monotonic()
            logger.info("%s: %s", self.label, self._meter())

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def rate(self) -> float:
        """Units per second of this attempt."""
        return (self.done - self.skipped) / max(self.seconds(), 1e-9)

    def _meter(self) -> str:
        return tqdm.format_meter(
            self.done, self.total, self.seconds(), unit=self.unit, initial=self.skipped, ascii=True, ncols=90
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def logging_to_file() -> bool:
    return any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger().handlers)
