"""The job that we are: who it is, when its time is up, and leaving in good order when it is told to go."""

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
"""Seconds that remain for writing what is in memory before a job's time is up."""


class Stopped(BaseException):
    """The job must end now; what is on the disk is whole. Its text is the reason."""


@dataclass(frozen=True)
class Job:
    """A process that works on a shard.

    Attributes:
        slurm_id: of the SLURM job, or None.
        host: name of the machine.
        pid: of the process, on that machine.
        started: what tells the process from a later one with the same pid.
        pids: the space of process numbers that `pid` belongs to; containers have their own.
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
        """Whether its process, alive or dead, belongs to this machine."""
        return (self.host, self.pids) == (socket.gethostname(), _pid_space())

    def is_alive(self) -> bool:
        """Whether the process runs; only for one that `is_here`."""
        start = _start_of(self.pid)
        if start is not None:
            return start == self.started
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True  # Another user's, which some machines hide.
        except ProcessLookupError:
            return False
        return False  # A zombie.


def this_job() -> Job:
    pid = os.getpid()
    return Job(os.environ.get("SLURM_JOB_ID"), socket.gethostname(), pid, _start_of(pid) or "", _pid_space())


def _pid_space() -> str:
    """Of this process; "" where there is no /proc: then there are no containers either."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """When a process started, in a form that is only good for comparing; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None if Path("/proc/self").exists() else _start_by_ps(pid)
    # A zombie is dead: its parent only has not asked yet. Field 22 counts clock ticks since boot.
    return None if fields[0] in "ZX" else fields[19]


def _start_by_ps(pid: int) -> str | None:
    """The same where there is no /proc (macOS)."""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


class Stopping:
    """Whether the job was told to end. Set `ignore` when it is as good as done."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.ignore = False

    def check(self) -> None:
        """Raises `Stopped` once more if it was told: the first can be lost in a callback of Python's own."""
        if self.reason is not None and not self.ignore:
            raise Stopped(self.reason)


@contextmanager
def stoppable() -> Iterator[Stopping]:
    """Turns the signals that end a job into `Stopped`, once: SLURM sends SIGTERM before it kills, or what --signal asks for."""
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
    """Sees the end of a job's time coming: `check` before each batch stops when the next would not be finished.

    Args:
        end: seconds since the epoch, or None where nobody says.
    """

    def __init__(self, end: float | None) -> None:
        self.end, self._last, self._longest = end, time.monotonic(), 0.0
        self._first = True

    def check(self) -> None:
        """Raises `Stopped` if less time is left than the longest batch so far took."""
        now = time.monotonic()
        if not self._first:
            self._longest = max(self._longest, now - self._last)
        self._first, self._last = False, now
        if self.end is not None and time.time() + self._longest + MARGIN > self.end:
            left = max(0, self.end - time.time())
            raise Stopped(f"walltime: {left:.0f} s are left, and a batch takes {self._longest:.0f} s")


def end_of_job() -> float | None:
    """When SLURM will end this job, in seconds since the epoch; None outside of SLURM, or where it does not say."""
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
        logger.info("squeue does not say when this job ends; SLURM's signal will")
        return None
