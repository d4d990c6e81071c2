"""One attempt at a shard, of images or of answers: history, progress, walltime, and the two copies of its manifest."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from emudrift.generation.attempts import History, Recording
from emudrift.runtime.atomic_files import write_bytes_atomically
from emudrift.runtime.jobs import Stopping, Walltime, end_of_job
from emudrift.runtime.locks import Lock
from emudrift.runtime.progress import Progress

PACKAGES = ("torch", "transformers", "peft", "diffusers", "numpy", "pillow")
"""Packages whose versions are recorded in a manifest."""


class Work:
    """An attempt under way: what it reports to, and what tells it to stop.

    Attributes:
        recording: its line in the shard's history; `device` is to be set once the model is loaded.
        progress: counts finished images or answers.
    """

    def __init__(self, recording: Recording, progress: Progress, stopping: Stopping, lock: Lock) -> None:
        self.recording, self.progress = recording, progress
        self._stopping, self._lock, self._walltime = stopping, lock, Walltime(end_of_job())

    def started(self, done: int, newest: float | None) -> None:
        """Begins the attempt's record.

        Args:
            done: finished by earlier attempts.
            newest: time at which the last of them was written, in seconds since the epoch.
        """
        self.recording.begin(done, newest)
        self.progress.skip(done)

    def before_batch(self) -> None:
        """Raises `Stopped` if the job must end now."""
        self._stopping.check()
        self._lock.check()
        self._walltime.check()


@contextmanager
def attempt_at(label: str, total: int, unit: str, history: History, stopping: Stopping, lock: Lock) -> Iterator[Work]:
    """An attempt, recorded however it ends.

    Args:
        total: images or answers of the shard.
        unit: what they are, in the singular.
    """
    progress = Progress(label, total, unit)
    with progress, Recording(history, lock.job, progress) as recording:
        yield Work(recording, progress, stopping, lock)


def restore_copies(found: Path, copies: tuple[Path, ...]) -> None:
    """Writes a manifest's copies again, the same bytes: Snakemake deletes a declared one whenever it runs a job again."""
    data = found.read_bytes()
    for copy in copies:
        if not copy.exists() or copy.read_bytes() != data:
            write_bytes_atomically(copy, data, checksum=True)


def package_versions() -> dict[str, str]:
    """Versions of `PACKAGES` and of Python; "none" for an optional one that is not installed."""
    return {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
