"""This process as a SLURM or local job: identity, walltime, graceful shutdown."""

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType

logger = logging.getLogger(__name__)

MARGIN = 30.0
"""Seconds reserved before the end of the walltime for writing pending data."""


class Stopped(BaseException):
    """The job must end now; everything on disk is complete. The message is the reason."""


@dataclass(frozen=True)
class Job:
    """A process that works on a shard.

    Attributes:
        slurm_id: id of the SLURM job, or None.
        host: host name.
        pid: process id on that machine.
        started: start time, which distinguishes it from a later process with the same pid.
        pids: the PID namespace of `pid`; containers have separate ones.
    """

    slurm_id: str | None
    host: str
    pid: int
    started: str
    pids: str

    def __str__(self) -> str:
        job = f"SLURM job {self.slurm_id}" if self.slurm_id else f"process {self.pid}"
        return f"{job} on {self.host}"

    def is_here(self) -> bool:
        """Whether its process, alive or dead, belongs to this machine (and PID namespace)."""
        return (self.host, self.pids) == (socket.gethostname(), _pid_space())

    def is_alive(self) -> bool:
        """Whether the process is running; only valid if `is_here`."""
        start = _start_of(self.pid)
        if start is not None:
            return start == self.started
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True  # A process of another user, hidden in /proc on some machines.
        except ProcessLookupError:
            return False
        return False  # A zombie.


def this_job() -> Job:
    pid = os.getpid()
    return Job(os.environ.get("SLURM_JOB_ID"), socket.gethostname(), pid, _start_of(pid) or "", _pid_space())


def _pid_space() -> str:
    """PID namespace of this process; "" on systems without /proc, which have no containers either."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """Start time of a process, in a form that is only suitable for comparison; None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None if Path("/proc/self").exists() else _start_by_ps(pid)
    # A zombie counts as dead. Field 22 is the start time in clock ticks since boot.
    return None if fields[0] in "ZX" else fields[19]


def _start_by_ps(pid: int) -> str | None:
    """The same on systems without /proc (macOS)."""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


class Stopping:
    """Whether the job was asked to end. Set `ignore` when it is about to finish anyway."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.ignore = False

    def check(self) -> None:
        """Raises `Stopped` again if the job was asked to end: the first one may be swallowed inside a Python callback."""
        if self.reason is not None and not self.ignore:
            raise Stopped(self.reason)


@contextmanager
def stoppable() -> Iterator[Stopping]:
    """Turns the signals that end a job into `Stopped`, once. SLURM sends SIGTERM (or the one set by --signal) before SIGKILL."""
    stopping = Stopping()

    def stop(number: int, frame: FrameType | None) -> None:
        if stopping.reason is None and not stopping.ignore:
            stopping.reason = signal.Signals(number).name
            raise Stopped(stopping.reason)

    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield stopping
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class Walltime:
    """Walltime limit: `check`, called before each batch, stops the job if the next batch would not finish in time.

    Args:
        end: seconds since the epoch, or None if unknown.
    """

    def __init__(self, end: float | None) -> None:
        self.end, self._last, self._longest = end, time.monotonic(), 0.0
        self._first = True

    def check(self) -> None:
        """Raises `Stopped` if the remaining time is shorter than the longest batch so far (plus MARGIN)."""
        now = time.monotonic()
        if not self._first:
            self._longest = max(self._longest, now - self._last)
        self._first, self._last = False, now
        if self.end is not None and time.time() + self._longest + MARGIN > self.end:
            left = max(0, self.end - time.time())
            raise Stopped(f"walltime: {left:.0f} s are left, and a batch takes {self._longest:.0f} s")


def end_of_job() -> float | None:
    """When SLURM will end this job, in seconds since the epoch; None outside SLURM, or if unknown."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    said = os.environ.get("SLURM_JOB_END_TIME")
    if said is not None and said.isdigit():
        return float(said)
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%e"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
        return datetime.fromisoformat(found).timestamp()
    except (OSError, subprocess.TimeoutExpired, ValueError):
        logger.info("squeue does not report when this job ends; relying on SLURM's signal")
        return None
