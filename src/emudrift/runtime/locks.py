"""One job per shard: a lock that works across machines, recognises the dead, and tells a waiting job whom it waits for.

flock is not enough: on some shared file systems it holds on one machine only. A lock is a file `<name>.<n>` made by a hard
link, which exists or fails atomically everywhere. Its holder touches it every few seconds. To take over from a dead holder n
is to make n + 1, and only one can; a holder that was only asleep sees that and leaves.
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
"""Seconds between two signs of life."""
SILENCE = 180.0
"""Seconds without one, after which a holder on another machine counts as dead; file servers may show old times for a minute."""
LOOK = 5.0
"""Seconds between two looks of a waiting job."""


class Lock:
    """Holds a lock while the `with` block runs; waits for a living holder.

    Args:
        path: the lock's name; `<path>.<n>` are its files.
        what: what is locked, for messages.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what, self.job = path, what, this_job()
        self._mine: Path | None = None
        self._over = threading.Event()
        self._seen: tuple[Path, int] | None = None
        self._since = 0.0

    def __enter__(self) -> "Lock":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        told: Path | None = None
        while not self._take():
            holder = self._holder()
            if holder is not None and told != holder[0]:
                told = holder[0]
                logger.warning("%s is being made by %s; waiting for it%s", self.what, holder[1], _how_to_end(holder[1]))
            if holder is not None:
                time.sleep(LOOK)
        threading.Thread(target=self._live, daemon=True, name="lock").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._mine is not None:
            self._mine.unlink(missing_ok=True)

    def _take(self) -> bool:
        """Makes the lock ours if nobody holds it, or somebody who is dead."""
        held = self._files()
        number, holder = 1, None
        if held:
            last = held[-1]
            holder = self._read(last)
            if holder is None or not self._is_dead(last, holder):
                return False
            number = _number(last) + 1
            logger.info("%s was being made by %s, which is dead; going on from there", self.what, holder)
        mine = self.path.with_name(f"{self.path.name}.{number}")
        draft = self.path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{self.path.name}")
        try:
            draft.write_text(json.dumps(asdict(self.job)), encoding="utf-8")
            hard_link(draft, mine)
        except FileNotFoundError:
            return False  # Who holds the lock by now has cleared our draft away.
        except FileExistsError:
            # Somebody was faster; or the answer of a file server was lost, and its repetition finds our own link.
            if self._read(mine) != self.job:
                return False
        except OSError as error:
            raise InputError(f"cannot write {mine}: {(error.strerror or str(error)).lower()}") from error
        finally:
            draft.unlink(missing_ok=True)
        # Numbers are used again: what we judged may have ended, and others may have come, while we wrote.
        if set(self._files()) - {mine} != set(held) or (held and self._read(held[-1]) != holder):
            mine.unlink(missing_ok=True)
            return False
        self._mine = mine
        # The dead, and the drafts of those that were killed while they tried.
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
        """None if it was given back meanwhile."""
        with suppress(FileNotFoundError):
            return Job(**json.loads(path.read_text()))
        return None

    def _is_dead(self, path: Path, holder: Job) -> bool:
        if holder.is_here():
            return not holder.is_alive()
        if holder.slurm_id is not None and holder.slurm_id == self.job.slurm_id:
            return True  # SLURM started our own job again on another node; it ends the first before.
        # No clock of another machine is read: what counts is whether the time changes while we look.
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
                logger.warning("no sign of life could be given for %s: %s", self.what, error)
                continue
            if self._is_lost() and not self._over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _is_lost(self) -> bool:
        try:
            lost = not self._files() or self._files()[-1] != self._mine
        except OSError:
            return False  # Not to be seen now; the next look decides.
        if lost:
            logger.error("another job took %s over, because this one gave no sign of life", self.what)
        return lost

    def check(self) -> None:
        """Raises `Stopped` if another job took the lock over."""
        if self._is_lost():
            raise Stopped("another job took over")


def living_holder_of(path: Path) -> Job | None:
    """Who holds a lock and is alive, as far as one look can tell: on another machine, who gave a sign of life of late."""
    held = Lock(path, "")._holder()
    if held is None:
        return None
    file, job = held
    if job.is_here():
        return job if job.is_alive() else None
    probe = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        probe.touch()  # By the clock of the file server, which also stamps the signs of life.
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
        f". To go on without it: scancel {job.slurm_id}" if job.slurm_id else f". To go on without it: kill {job.pid}"
    )
