"""One line now and then that says how far a loop is, how fast, and how long it will still take."""

import time


class Progress:
    def __init__(self, task: str, total: int, unit: str = "steps", every_seconds: float = 15.0) -> None:
        self._task, self._total, self._unit, self._every = task, total, unit, every_seconds
        self._start = self._last = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Print a line if the last one is old enough, and always when the loop is done."""
        now = time.monotonic()
        if done < self._total and now - self._last < self._every:
            return
        self._last = now
        rate = done / max(now - self._start, 1e-9)
        left = (self._total - done) / rate
        time_text = f"{left:.0f} s left" if done < self._total else f"took {now - self._start:.0f} s"
        line = f"{self._task}: {done}/{self._total} {self._unit}, {rate:.1f}/s, {time_text}"
        print(f"{line}  {note}" if note else line, flush=True)
