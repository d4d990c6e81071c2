"""Runs of Snakemake on a SLURM cluster: which are alive, and the jobs that a dead one left in the queue.

A run is a file `<name>.<n>` in the results, the lock that its driver holds and touches as long as it lives and that stays behind;
the plugin gives the run's name to all of its jobs.
"""

import subprocess
import time
from collections.abc import Callable, Set
from pathlib import Path

from emudrift.errors import InputError
from emudrift.runtime.locks import Lock, living_holder_of

LOOK = 10.0
"""Seconds between two questions to squeue while jobs are waited for."""
SECONDS = 60
"""How long a command of SLURM may take."""


def begin(folder: Path, name: str) -> None:
    """Records a run that this process drives.

    Its file is not removed when the process ends: a driver that is interrupted while it asks for its jobs does not cancel them
    (snakemake-executor-plugin-slurm 2.8.0). So the next driver always asks what the one before has left.
    """
    Lock(folder / name, f"run {name}").__enter__()


def dead_runs(folder: Path) -> dict[str, list[Path]]:
    """The recorded runs whose driver has died, with their files."""
    files: dict[str, list[Path]] = {}
    for file in folder.glob("[!.]*.*"):
        files.setdefault(file.stem, []).append(file)
    return {name: found for name, found in files.items() if living_holder_of(folder / name) is None}


def settle(runs: Set[str], say: Callable[[str], None]) -> set[str]:
    """Cancels jobs of these runs that have not started, and waits until the others have ended.

    Args:
        runs: names of runs whose driver has died.
        say: is told what happens.

    Returns:
        The comments, which say rule and wildcards, of jobs whose last attempt has completed, as far as SLURM still knows them.

    Raises:
        InputError: squeue or scancel does not answer.
    """
    names = f"--name={','.join(sorted(runs))}"
    told: set[str] = set()
    while live := _rows("squeue", "--me", "--noheader", "--format=%i|%T|%k", names):
        waiting = {job for job, state, _ in live if state == "PENDING"}
        running = {job for job, _, _ in live} - waiting
        if waiting:
            say(f"an earlier run left {_named(waiting)}; cancelled")
            _asked("scancel", "--state=PENDING", *sorted(waiting))
        if running - told:
            told |= running
            say(
                f"an earlier run left {_named(running)}, still running; waiting for them. "
                f"To continue without them: scancel {' '.join(sorted(running))}"
            )
        time.sleep(LOOK if running else 1)
    # In the order of their numbers: what counts is the last attempt. Without accounting, the queue knows recent jobs alone.
    ended = _rows("squeue", "--me", "--states=all", "--noheader", "--format=%i|%T|%k", names)
    state_of = {comment: state for _, state, comment in sorted(ended, key=lambda row: int(row[0]))}
    return {comment for comment, state in state_of.items() if state == "COMPLETED"}


def _rows(*command: str) -> list[tuple[str, str, str]]:
    """Job id, state and comment of each job."""
    rows = (row.split("|", 2) for row in _asked(*command).splitlines() if row.count("|") >= 2)
    return [(job, state, comment) for job, state, comment in rows if job.isdigit()]


def _asked(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    raise InputError(f"{command[0]}: {reason}; an earlier run was killed and may have left jobs, so try again later")


def _named(jobs: Set[str]) -> str:
    return f"{len(jobs)} job{'s' * (len(jobs) > 1)} ({', '.join(sorted(jobs))})"
