"""One job per shard: a lock that works across machines, detects dead holders, and tells waiting jobs who holds it.

flock is not sufficient: on some shared file systems it is effective on one machine only. A lock is a file `<name>.<n>` created
as a hard link, which is atomic everywhere. Its holder touches it every few seconds (heartbeat). A dead holder n is succeeded by
creating n + 1, which only one job can do; a holder that was merely suspended notices this and stops.
"""

import json
import logging
import os
import signal
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from emudrift.errors import InputError
from emudrift.runtime.atomic_files import TEMPORARY_PREFIX, hard_link
from emudrift.runtime.jobs import Job, Stopped, this_job

logger = logging.getLogger(__name__)

BEAT = 15.0
"""Seconds between two heartbeats."""
SILENCE = 180.0
"""Seconds without a heartbeat after which a holder on another machine counts as dead; file servers may cache times for a
minute."""
LOOK = 5.0
"""Seconds between two checks by a waiting job."""


class Lock:
    """Holds a lock for the duration of the `with` block; waits while a live job holds it.

    Args:
        path: name of the lock; its files are `<path>.<n>`.
        what: what is locked, for messages.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what, self.job = path, what, this_job()
        self._mine: Path | None = None
        self._over = threading.Event()
        self._seen: tuple[Path, int] | None = None
        self._since = 0.0

    def __enter__(self) -> "Lock":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {self.path.parent}: {(error.strerror or str(error)).lower()}") from error
        told: Path | None = None
        while not self._take():
            holder = self._holder()
            if holder is not None and told != holder[0]:
                told = holder[0]
                logger.warning("%s is locked by %s; waiting for it%s", self.what, holder[1], _how_to_end(holder[1]))
            if holder is not None:
                time.sleep(LOOK)
        threading.Thread(target=self._live, daemon=True, name="lock").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        try:
            if self._mine is not None:
                self._mine.unlink(missing_ok=True)
        except OSError as failure:  # It must not hide what ended the work. The next job sees that the holder is dead.
            logger.warning("cannot release the lock on %s: %s", self.what, failure)

    def _take(self) -> bool:
        """Tries to acquire the lock; succeeds if it is free or its holder is dead."""
        held = self._files()
        number, holder = 1, None
        if held:
            last = held[-1]
            holder = self._read(last)
            if holder is None or not self._is_dead(last, holder):
                return False
            number = _number(last) + 1
            logger.info("%s was locked by %s, which is dead; resuming its work", self.what, holder)
        mine = self.path.with_name(f"{self.path.name}.{number}")
        draft = self.path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{self.path.name}")
        try:
            draft.write_text(json.dumps(asdict(self.job)), encoding="utf-8")
            hard_link(draft, mine)
        except FileNotFoundError:
            return False  # Another job acquired the lock meanwhile and removed our draft.
        except FileExistsError:
            # Another job was faster; or a file server's reply was lost, and the retried request finds our own link.
            if self._read(mine) != self.job:
                return False
        except OSError as error:
            raise InputError(f"cannot write {mine}: {(error.strerror or str(error)).lower()}") from error
        finally:
            with suppress(OSError):  # A file system that has become read-only refuses even to remove what is not there.
                draft.unlink(missing_ok=True)
        # Numbers are reused: meanwhile the judged holder may have finished and another one may have come.
        if set(self._files()) - {mine} != set(held) or (held and self._read(held[-1]) != holder):
            mine.unlink(missing_ok=True)
            return False
        self._mine = mine
        # Files of dead holders, and drafts of jobs that were killed while acquiring the lock.
        for dead in [*held, *self.path.parent.glob(f"{TEMPORARY_PREFIX}*-{self.path.name}")]:
            dead.unlink(missing_ok=True)
        return True

    def _files(self) -> list[Path]:
        found = self.path.parent.glob(f"{self.path.name}.*")
        return sorted((path for path in found if path.suffix[1:].isdigit()), key=_number)

    def _holder(self) -> tuple[Path, Job] | None:
        held = self._files()
        job = self._read(held[-1]) if held else None
        return None if job is None else (held[-1], job)

    def _read(self, path: Path) -> Job | None:
        """None if it was released meanwhile."""
        try:
            return Job(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{path}: not a lock ({error}); if no job works on it any more, remove it and run again"
            ) from error

    def _is_dead(self, path: Path, holder: Job) -> bool:
        if holder.is_here():
            return not holder.is_alive()
        if holder.slurm_id is not None and holder.slurm_id == self.job.slurm_id:
            return True  # Our own job, requeued on another node; SLURM ends the first instance before that.
        # Clocks of different machines are not compared: only whether the file's time changes while we watch it.
        try:
            seen = (path, path.stat().st_mtime_ns)
        except FileNotFoundError:
            return False
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return time.monotonic() - self._since > SILENCE

    def _live(self) -> None:
        while not self._over.wait(BEAT):
            assert self._mine is not None
            try:
                os.utime(self._mine)
            except FileNotFoundError:
                pass
            except OSError as error:
                logger.warning("cannot write the heartbeat of the lock on %s: %s", self.what, error)
                continue
            if self._is_lost() and not self._over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _is_lost(self) -> bool:
        try:
            lost = not self._files() or self._files()[-1] != self._mine
        except OSError:
            return False  # Not accessible now; decided at the next check.
        if lost:
            logger.error("another job took over %s, because this one had sent no heartbeat", self.what)
        return lost

    def check(self) -> None:
        """Raises `Stopped` if another job has taken over the lock."""
        if self._is_lost():
            raise Stopped("another job took over")


def living_holder_of(path: Path) -> Job | None:
    """The live holder of a lock, as far as a single check can tell: on another machine, one with a recent heartbeat."""
    held = Lock(path, "")._holder()
    if held is None:
        return None
    file, job = held
    if job.is_here():
        return job if job.is_alive() else None
    probe = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        probe.touch()  # Uses the file server's clock, as the heartbeats do.
        silence = probe.stat().st_mtime - file.stat().st_mtime
    except FileNotFoundError:
        return None
    except OSError:
        return job
    finally:
        probe.unlink(missing_ok=True)
    return job if silence < SILENCE else None


def _number(path: Path) -> int:
    return int(path.suffix[1:])


def _how_to_end(job: Job) -> str:
    return (
        f". To continue without it: scancel {job.slurm_id}"
        if job.slurm_id
        else f". To continue without it: kill {job.pid}"
    )
