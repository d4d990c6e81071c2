"""Drives the workflow on the throw-away cluster as a user does, and looks at what its jobs are doing."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Set
from pathlib import Path
from typing import Any, ClassVar

from cluster import Cluster, wait_until
from conftest import Workflow, small_config

IMPATIENT = Path(__file__).with_name("impatient.py")
ROWS = ("000000-000010", "000010-000020")


def prepare(workflow: Workflow, gpus_per_node: int = 4, **changes: Any) -> Workflow:
    """Gives a copy the small experiment at one scale: images drawn one at a time (the same bytes, since float32), so that
    there are more moments to be disturbed at."""
    resources = {"generation_batch_size": 1, "feature_batch_size": 4, "gpus_per_node": gpus_per_node}
    workflow.write_config(small_config(resources=resources, guidance_scales=[3], **changes))
    workflow.results = workflow.folder / "results/small"
    return workflow


class Driver:
    """A running `snakemake --profile slurm`, in the folder of a workflow."""

    running: ClassVar[list[subprocess.Popen]] = []

    def __init__(self, workflow: Workflow, *arguments: str) -> None:
        self.log = workflow.folder / f"driver-{time.monotonic_ns()}.log"
        command = [
            sys.executable, str(IMPATIENT), "--profile", "slurm", "--configfile", "test.yaml",
            # Where a real cluster is asked no more than once in ten seconds.
            "--max-status-checks-per-second", "1",
            "--latency-wait", "10", *arguments,
        ]  # fmt: skip
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=workflow.folder,
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                # Tests that a shell runs in the background would hand down that SIGINT is ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.running.append(self.process)

    def said(self) -> str:
        return self.log.read_text()

    def kill(self, sign: signal.Signals) -> int:
        """Sends a signal; returns how the driver ended."""
        self.process.send_signal(sign)
        return self.process.wait(200)

    def interrupt(self) -> int:
        """Ctrl-C between two questions: interrupted in the middle of one, the plugin (2.8.0) does not cancel its jobs."""
        wait_until(self._asks, 60, "a question of the plugin")
        quiet_since = time.monotonic()
        while time.monotonic() < quiet_since + 0.5:
            if self._asks():
                quiet_since = time.monotonic()
            time.sleep(0.02)
        return self.kill(signal.SIGINT)

    def _asks(self) -> bool:
        """Whether it has a child process, such as squeue."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if (process / "stat").read_text().rpartition(")")[2].split()[1] == str(self.process.pid):
                    return True
        return False

    def finish(self, seconds: float) -> None:
        """Waits for the end, which must be a good one."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            error.add_note(self.said()[-6000:])
            raise
        assert code == 0, self.said()[-6000:]


def payloads(workflow: Workflow) -> dict[str, tuple[int, dict[str, str]]]:
    """SLURM job id to process id and environment of every generate_shard.py that runs for this workflow."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_text().split("\0")
            if arguments[1:2] == ["scripts/generate_shard.py"] and (process / "cwd").readlink() == workflow.folder:
                environment = dict(
                    line.split("=", 1) for line in (process / "environ").read_text().split("\0") if "=" in line
                )
                found[environment["SLURM_JOB_ID"]] = int(process.name), environment
        except OSError:  # it ended meanwhile
            continue
    return found


def kill_leftovers(workflow: Workflow) -> None:
    """Ends what a job left running: without cgroups SLURM loses sight of a process whose parent was killed."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if (process / "cwd").readlink() == workflow.folder:
                os.kill(int(process.name), signal.SIGKILL)


def shard_of(job: dict[str, str]) -> tuple[str, str] | None:
    """Arm and rows that a job draws."""
    found = re.fullmatch(r"rule_generate_shard_wildcards_(.+)_(\d+-\d+)", job.get("Comment", ""))
    return (found[1], found[2]) if found else None


def is_in_mid_work(workflow: Workflow, pid: int) -> bool:
    """Whether the shard that a process draws has some of its images but not all."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # it ended meanwhile
        return False
    arm, rows = (arguments[arguments.index(name) + 1] for name in ("--arm", "--rows"))
    partial = workflow.results / "images" / arm / ".partial" / rows
    return 0 < len({path.name.partition(".")[0] for path in partial.glob("[0-9]*")}) < 10


def in_mid_work(workflow: Workflow, jobs_hit: Set[str]) -> str | None:
    """The number of a job, not hit before, whose shard is in mid-work. Asks the system only: SLURM's answer may take longer than
    the shard."""
    running = payloads(workflow)
    return next((job for job in running.keys() - jobs_hit if is_in_mid_work(workflow, running[job][0])), None)


def wait_for_mid_work(cluster: Cluster, workflow: Workflow, jobs_hit: Set[str]) -> dict[str, str]:
    found = []
    wait_until(lambda: found.append(in_mid_work(workflow, jobs_hit)) or found[-1], 300, "a shard in mid-work")
    return state(cluster, {"JobId": found[-1]})


def freeze_in_mid_work(
    cluster: Cluster, workflow: Workflow, jobs_hit: Set[str] = frozenset()
) -> tuple[dict[str, str], int]:
    """A job in mid-work and its process, which stands still, so that it cannot end before the fault."""
    frozen = []

    def freeze() -> bool:
        job = in_mid_work(workflow, jobs_hit)
        pid, _ = payloads(workflow).get(job, (0, {}))
        if not pid:
            return False
        os.kill(pid, signal.SIGSTOP)
        if is_in_mid_work(workflow, pid):
            frozen.append((job, pid))
        else:
            os.kill(pid, signal.SIGCONT)
        return bool(frozen)

    wait_until(freeze, 300, "a shard in mid-work")
    ((job, pid),) = frozen
    return state(cluster, {"JobId": job}), pid


def state(cluster: Cluster, job: dict[str, str]) -> dict[str, str]:
    (now,) = (each for each in cluster.jobs() if each["JobId"] == job["JobId"])
    return now


def targets(workflow: Workflow, arm: str) -> list[str]:
    return [f"results/small/images/{arm}/{rows}.json" for rows in ROWS]
