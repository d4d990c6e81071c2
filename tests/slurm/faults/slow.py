"""Faults on the throw-away cluster that are too slow for CI. docs/slurm-faults.md says how they ended.

    python tests/slurm/faults/slow.py FAULT [--plain squeue | sacct]

Two shards are drawn with the shipped profile, the fault hits one in mid-work, and the archives must be those of an undisturbed
run on this machine. --plain lets the plugin ask as it does by itself, without scripts/slurm/sacct.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[1:3]]

import cluster as throwaway  # noqa: E402
from cluster import Cluster, is_alive, wait_until  # noqa: E402
from conftest import Workflow, archives  # noqa: E402
from drive import Driver, freeze_in_mid_work, payloads, prepare, state, wait_for_mid_work  # noqa: E402

PLAIN = ("--slurm-status-attempts", "5", "--max-status-checks-per-second", "10", "--slurm-status-command")
HANGS = 400  # seconds without an end, when an undisturbed run takes 50 (200 on a busy machine), are called a hang


class Scene:
    """The shards of one arm, two unless changes of the config say otherwise, and the archives that they must become."""

    def __init__(self, cluster: Cluster, plain: str | None, **changes: Any) -> None:
        self.cluster, self.mounted = cluster, list[Path]()
        self.extra = (*PLAIN, plain) if plain else ()
        self.room = Path(tempfile.mkdtemp(prefix="emudrift-fault-"))
        undisturbed = prepare(Workflow(self.room / "undisturbed"), **changes)
        self.workflow = prepare(Workflow(self.room / "emudrift"), **changes)
        if plain:
            (self.workflow.folder / "scripts/slurm/sacct").unlink()
        config = undisturbed.folder / "test.yaml"
        plan = undisturbed.planned(config=config)["generate_shard"]
        self.targets = sorted(path for path in plan if "base-cfg3" in path)
        self.arm = self.targets[0].split("/")[-2]
        undisturbed.snakemake(*self.targets, "--quiet", "all", config=config)
        self.expected = archives(undisturbed.results)

    def drive(self, *arguments: str) -> Driver:
        """Drives the shards of the arm, or what the arguments say."""
        return Driver(self.workflow, "--verbose", *self.extra, *(arguments or self.targets))

    def generated(self) -> int:
        """How many images all attempts together have generated."""
        histories = self.workflow.results.glob("images/*/*.attempts.jsonl")
        return sum(json.loads(line)["images"] for path in histories for line in path.read_text().splitlines())

    def mid_work(self) -> dict[str, str]:
        return wait_for_mid_work(self.cluster, self.workflow, set())

    def jobs(self) -> str:
        return ", ".join(
            f"{job['JobId']}: {job['JobState']} on {job.get('NodeList', '-')}, {job['Restarts']} restarts, "
            f"limit {job['TimeLimit']}"
            for job in self.cluster.jobs()
        )


def walltime(scene: Scene) -> Driver:
    """The shard stands still, so that it runs into its time, one minute; the next attempt gets two."""
    profile = scene.workflow.folder / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text().replace("gpu_time(240)", "gpu_time(1)"))
    driver = scene.drive()
    job = scene.mid_work()
    os.kill(payloads(scene.workflow)[job["JobId"]][0], signal.SIGSTOP)
    wait_until(lambda: state(scene.cluster, job)["JobState"] == "TIMEOUT", 150, "the job to run into its time")
    return driver


def leave(scene: Scene) -> Driver:
    """The shard is so slow that it sees the end of its minute coming, asks squeue for it, and leaves in good order."""
    profile = scene.workflow.folder / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text().replace("gpu_time(240)", "gpu_time(1)"))
    driver = scene.drive()
    job, pid = freeze_in_mid_work(scene.cluster, scene.workflow)
    began = time.monotonic()
    while time.monotonic() - began < 60 and not ends_within(job, 25):
        time.sleep(1)
    os.kill(pid, signal.SIGCONT)

    def left() -> bool:
        histories = scene.workflow.results.glob("images/*/*.attempts.jsonl")
        return any("walltime: " in path.read_text() for path in histories)

    wait_until(left, 30, "the shard to leave")
    return driver


def ends_within(job: dict[str, str], seconds: float) -> bool:
    return datetime.fromisoformat(job["EndTime"]) - datetime.now() < timedelta(seconds=seconds)


def memory(scene: Scene) -> Driver:
    """The kernel ends the shard's process for its memory, as it does in a node's cgroup that a job outgrows."""
    room = (
        next(path for path in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")) if path.is_dir()) / "emudrift-oom"
    )
    room.mkdir(exist_ok=True)
    limit = next(room / name for name in ("memory.limit_in_bytes", "memory.max") if (room / name).exists())
    limit.write_text(str(8 * 2**20))  # For what it takes from now on.
    driver = scene.drive()
    job, pid = freeze_in_mid_work(scene.cluster, scene.workflow)
    (room / "cgroup.procs").write_text(str(pid))
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not is_alive(pid), 60, "the kernel to end the process")
    events = next(room / name for name in ("memory.oom_control", "memory.events") if (room / name).exists())
    print(f"the kernel says: {' '.join(events.read_text().split())}", flush=True)
    wait_until(lambda: state(scene.cluster, job)["JobState"] not in ("RUNNING", "COMPLETING"), 60, "SLURM to see it")
    return driver


def node(scene: Scene) -> Driver:
    """A node dies: its slurmd, the keepers of its jobs, and the jobs."""
    driver = scene.drive()
    job = scene.mid_work()
    scene.cluster.kill(f"slurmd-{job['NodeList']}")
    lost = {each["JobId"] for each in scene.cluster.jobs() if each.get("NodeList") == job["NodeList"]}
    for process in Path("/proc").glob("[0-9]*"):
        name = (process / "cmdline").read_text() if is_alive(int(process.name)) else ""
        if name.startswith(tuple(f"slurmstepd: [{job_id}." for job_id in lost)):
            os.kill(int(process.name), signal.SIGKILL)
    for job_id, (pid, _) in payloads(scene.workflow).items():
        if job_id in lost:
            os.kill(pid, signal.SIGKILL)
    return driver


def controller(scene: Scene) -> Driver:
    """slurmctld is away for 90 s, so that questions about the jobs fail."""
    driver = scene.drive()
    scene.mid_work()
    scene.cluster.kill("slurmctld")
    time.sleep(90)
    scene.cluster.start_controller()
    return driver


def preempt_cancel(scene: Scene) -> Driver:
    """Preempted on a cluster that cancels preempted jobs instead of queuing them again."""
    scene.cluster.run("scontrol", "update", "PartitionName=gpu", "PreemptMode=CANCEL")
    driver = scene.drive()
    scene.mid_work()
    scene.cluster.run("sbatch", "-p", "urgent", "--gpus=a100:4", "-N2", "-o", "/dev/null", "--wrap", "sleep 2")
    return driver


def sacct_cancel(scene: Scene) -> Driver:
    """scancel where sacct is asked, which says "CANCELLED by 0"."""
    driver = scene.drive()
    scene.cluster.run("scancel", scene.mid_work()["JobId"])
    return driver


def drain(scene: Scene) -> Driver:
    """A node is drained in mid-shard: what runs there may end, and nothing else starts there."""
    driver = scene.drive()
    job = scene.mid_work()
    scene.cluster.run("scontrol", "update", f"NodeName={job['NodeList']}", "State=DRAIN", "Reason=fault")
    return driver


def twice(scene: Scene) -> Driver:
    """slurmctld is killed under a driver that asks, the driver too; then a shard is requeued, and another driver starts."""
    driver = scene.drive()
    job = scene.mid_work()
    scene.cluster.kill("slurmctld")
    time.sleep(10)
    driver.kill(signal.SIGKILL)
    scene.cluster.start_controller()
    wait_until(lambda: scene.cluster.jobs(), 60, "slurmctld to answer")
    scene.cluster.run("scontrol", "requeue", job["JobId"])
    scene.workflow.snakemake("--unlock", config="test.yaml")
    return scene.drive()


FAULTS = {
    "drain": drain,
    "twice": twice,
    "walltime": walltime,
    "leave": leave,
    "memory": memory,
    "node": node,
    "controller": controller,
    "preempt-cancel": preempt_cancel,
    "sacct-cancel": sacct_cancel,
}


def run(scene: Scene, name: str, fault: Callable[[Scene], Driver]) -> None:
    """Lets a fault happen, and says how that ended, and how many images were generated more than once."""
    began = time.monotonic()
    driver = fault(scene)
    try:
        driver.finish(HANGS)
        outcome = "the run completed"
    except subprocess.TimeoutExpired:
        outcome = "the run hung"
    print(f"{name}: {outcome} after {time.monotonic() - began:.0f} s; jobs: {scene.jobs()}", flush=True)
    if driver.process.poll() is None:
        driver.kill(signal.SIGINT)
        began = time.monotonic()
        scene.drive().finish(HANGS)
        print(f"{name}: Ctrl-C; the next run completed after {time.monotonic() - began:.0f} s")
    made = archives(scene.workflow.results)
    assert {path: made.get(path) for path in scene.expected} == scene.expected, "other bytes"
    print(
        f"{name}: the bytes are those of the undisturbed run; {scene.generated()} images were generated for the "
        f"{10 * len(made)} of {len(made)} archives"
    )


def main(
    faults: dict[str, Callable[[Scene], Driver]], changes: dict[str, dict[str, Any]], accounting: set[str]
) -> None:
    """Runs the fault that the command line names.

    Args:
        changes: of the config, by fault.
        accounting: faults that need a cluster with a database.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__.splitlines()[0])
    parser.add_argument("fault", choices=faults)
    parser.add_argument("--plain", choices=("squeue", "sacct"), help="ask as the plugin does by itself")
    arguments = parser.parse_args()
    database = arguments.fault in accounting
    if reason := throwaway.why_not(database):
        sys.exit(f"error: no throw-away SLURM cluster here: {reason}")
    with throwaway.own_cluster(database) as cluster:
        scene = Scene(cluster, arguments.plain, **changes.get(arguments.fault, {}))
        try:
            run(scene, arguments.fault, faults[arguments.fault])
        finally:
            while Driver.running:
                Driver.running.pop().kill()
            cluster.cancel_all()
            for folder in scene.mounted:
                subprocess.run(["umount", "--lazy", folder], check=True)


if __name__ == "__main__":
    main(FAULTS, {}, {"sacct-cancel"})
