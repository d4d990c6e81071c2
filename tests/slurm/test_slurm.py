"""The shipped profile and the executor plugin (it only asks more often: impatient.py) on a real SLURM cluster with two GPU nodes
of two (fake) A100s.

Whatever befalls a run, its archives must be the bytes that the undisturbed run on this machine made. Images are drawn on the
CPU (device: cpu), while the profile asks SLURM for a GPU for each GPU rule, as it always does.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cluster as throwaway
import pytest
from cluster import is_alive, wait_until
from conftest import Workflow, archives, arm_name
from drive import (
    ROWS,
    Driver,
    freeze_in_mid_work,
    kill_leftovers,
    payloads,
    prepare,
    shard_of,
    state,
    targets,
)

from emudrift.config.experiment import Experiment
from emudrift.config.paths import PROJECT_MARKER
from emudrift.generation.answers.run_answers import run_answers

GPU_RULES = ("generate_shard", "answer_shard", "extract_features", "reference_features", "embed_captions")
ARMS = ("base-cfg3", "finetuned-cfg3")
TASK = {
    "name": "scenes",
    "task": "caption",
    "images": "demo/data/images",
    "captions": "demo/data/captions.json",
    "number": 4,
    "max_new_tokens": 12,
    "image_area": 4096,
    "control": False,
}
CPU_JOBS = ("reference_statistics", "compute_fid", "gallery", "plot", "report")


@pytest.fixture(scope="module", params=[False], ids=["squeue"])
def cluster(request: pytest.FixtureRequest):
    """One for all tests; `accounting` decides whether sacct answers."""
    reason = throwaway.why_not(accounting=request.param)
    if reason:
        message = f"SLURM NOT TESTED: {reason}"
        pytest.fail(message) if os.environ.get("EMUDRIFT_REQUIRE_SLURM") else pytest.skip(message)
    with first_in_line(), throwaway.own_cluster(accounting=request.param) as running:
        yield running


@contextlib.contextmanager
def first_in_line() -> Iterator[None]:
    """These tests run one after the other and mostly wait: what they do compute goes before the tests that run beside them."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):  # root of a container may not
        os.setpriority(os.PRIO_PROCESS, 0, -5)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, before)


with_accounting = pytest.mark.parametrize("cluster", [True], ids=["sacct"], indirect=True)


@pytest.fixture
def new_run(request, cluster, new_workflow):
    """Makes fresh copies of the workflow; afterwards no driver and no job of the test is left."""
    made: list[Workflow] = []

    def make(name: str, **changes: Any) -> Workflow:
        """The small experiment, changed. Prompts and checked models are there already, and nothing else."""
        workflow = new_workflow(name)
        made.append(workflow)
        workflow.take_over(request.getfixturevalue("finished").folder)
        for path in (workflow.folder / "results/small").iterdir():
            if path.name in ("images", "features", "fid", "gallery", "figures"):
                shutil.rmtree(path)
        shutil.rmtree(workflow.folder / "resources/reference")
        return prepare(workflow, **changes)

    yield make
    while Driver.running:
        Driver.running.pop().kill()
    cluster.cancel_all()
    for workflow in made:
        kill_leftovers(workflow)


@pytest.fixture
def assert_same_bytes(request: pytest.FixtureRequest):
    """Compares the archives of shards, named by their manifests, with those of the undisturbed run on this machine, which is not
    waited for before."""

    def compare(workflow: Workflow, shards: list[str]) -> None:
        assert shards
        undisturbed, made = archives(request.getfixturevalue("finished").results), archives(workflow.results)
        assert list(made) == sorted(path.removeprefix("results/small/").replace(".json", ".tar") for path in shards)
        assert [path for path in made if made[path] != undisturbed[path]] == []

    return compare


def assert_same_answers(workflow: Workflow, folder: Path) -> None:
    """Compares answers with those that this process gives, asked one by one."""
    (workflow.folder / PROJECT_MARKER).touch()  # To this process the copy is a project, and not the clone.
    experiment = Experiment.load(workflow.folder / "test.yaml")
    experiment.paths = replace(experiment.paths, results=folder, resources=folder)
    for name in ("models", "understanding"):
        shutil.copytree(workflow.results / name, folder / name)
    understanding = experiment.understanding
    (variant,), (shard,) = understanding.variants(), understanding.shards(understanding.tasks[0])
    answers = {}
    for arm in understanding.arms():
        run_answers(experiment, arm, variant, shard, batch_size=1)
        path = experiment.paths.answers(arm.name, variant.name, shard.name)
        answers[arm.model] = path.read_bytes()
        assert (workflow.results / path.relative_to(folder)).read_bytes() == answers[arm.model]
    assert answers["base"] != answers["finetuned"]
    assert answers["base"].count(b"\n") == 4


def test_every_rule_lands_where_it_belongs_and_what_it_makes_is_that_of_a_local_run(
    cluster, new_run, assert_same_bytes, tmp_path
):
    workflow = new_run("whole", sample_sizes=[10], understanding=[TASK])
    Driver(workflow).finish(300)
    jobs = cluster.jobs()
    for job in jobs:
        rule = job["Comment"].removeprefix("rule_").split("_wildcards_")[0]
        if rule in GPU_RULES:
            assert (job["Partition"], job["JOB_GRES"]) == ("gpu", "gpu:a100:1")
        else:
            assert rule.startswith(CPU_JOBS), rule
            assert (job["Partition"], job.get("JOB_GRES")) == ("cpu", None)
        assert job["JobState"] == "COMPLETED"
    assert sum(job["Partition"] == "gpu" for job in jobs) == 1 + 2 + 2 + 2
    assert sum(job["Partition"] == "cpu" for job in jobs) == 1 + 2 + 1 + 2, "one job for the distances of an arm"
    assert (workflow.results / "report.html").stat().st_size
    assert_same_bytes(workflow, [f"images/{arm_name(workflow, name)}/{ROWS[0]}.tar" for name in ARMS])
    assert_same_answers(workflow, tmp_path)


def test_the_check_says_what_the_cluster_would_refuse_and_nothing_is_queued(cluster, new_run):
    workflow, before = new_run("refused"), len(cluster.jobs())
    profile = workflow.folder / "profiles/slurm/config.yaml"
    shipped = profile.read_text()
    for old, new in (("cpu_limit = 24 * 60", "cpu_limit = 90 * 60"), ('gpu_model="a100"', 'gpu_model="h100"')):
        assert old in shipped
        profile.write_text(profile.read_text().replace(old, new))
    profile.write_text(profile.read_text().replace("cpu_time(10)", "cpu_time(10 * 60)"))
    driver = Driver(workflow, "check")
    assert driver.process.wait(100) != 0
    errors = [line for line in driver.said().splitlines() if line.startswith("error: ")]
    assert any(
        "extract_features" in line and "Requested node configuration is not available" in line for line in errors
    )
    assert any("plot" in line and "partition cpu allows 1440 minutes, and they ask for 2400" in line for line in errors)
    assert not any("gallery" in line for line in errors), "what the cluster accepts is not an error"
    profile.write_text(shipped)
    Driver(workflow, "check").finish(100)
    assert len(cluster.jobs()) == before


@pytest.mark.slow
def test_a_whole_node_draws_a_shard_on_each_of_its_devices_and_goes_on_after_a_fault(
    cluster, new_run, assert_same_bytes
):
    """A partition that gives out whole nodes. The job is cancelled when both shards are in mid-work."""
    workflow = new_run("node", sample_sizes=[10], gpus_per_node=2)
    profile = workflow.folder / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text().replace('gpu_partition = "gpu"', 'gpu_partition = "whole"'))
    profile.write_text(profile.read_text().replace("one_node = dict(gpu=4", "one_node = dict(gpu=2"))
    driver = Driver(workflow, "generate_on_nodes")

    def at_work() -> list[Path]:
        return [path for path in workflow.results.glob("images/*/.partial/*") if [*path.glob("[0-9]*.json")]]

    wait_until(lambda: len(at_work()) == 2 or driver.process.poll() is not None, 300, "two shards in mid-work")
    (job,) = (each for each in cluster.jobs() if each["JobState"] == "RUNNING")
    assert (job["Partition"], job["NumNodes"], job["GRES"]) == ("whole", "1", "gpu:a100:2(IDX:0-1)")
    cluster.run("scancel", job["JobId"])
    driver.finish(250)
    assert sorted(each["JobState"] for each in cluster.jobs() if each["Partition"] == "whole") == [
        "CANCELLED",
        "COMPLETED",
    ]
    shards = [f"results/small/images/{arm_name(workflow, name)}/{ROWS[0]}.json" for name in ARMS]
    assert_same_bytes(workflow, shards)
    plan = workflow.planned(*shards, config=workflow.folder / "test.yaml")
    assert "generate_shard" not in plan, "Snakemake does not know that they are finished"


def test_shards_on_four_devices_cancelled_killed_requeued_and_preempted_end_as_the_same_bytes(
    cluster, new_run, finished, assert_same_bytes
):
    """Four shards at once; each fault hits one that has drawn some of its images."""
    workflow = new_run("faults")
    shards = [path for name in ARMS for path in targets(workflow, arm_name(finished, name))]
    driver = Driver(workflow, *shards)
    frozen: dict[str, tuple[dict[str, str], int]] = {}
    while len(frozen) < 4:
        job, pid = freeze_in_mid_work(cluster, workflow, frozen.keys())
        frozen[job["JobId"]] = job, pid
    jobs = {number: state(cluster, job) for number, (job, _) in frozen.items()}
    assert {job["JobState"] for job in jobs.values()} == {"RUNNING"}, "not four at once"
    assert len({(job["BatchHost"], job["GRES"]) for job in jobs.values()}) == 4, "two jobs on one device"
    for number, (_, environment) in payloads(workflow).items():
        assert jobs[number]["GRES"] == f"gpu:a100:1(IDX:{environment['CUDA_VISIBLE_DEVICES']})"

    def restarted() -> set[str]:
        return {job["JobId"] for job in cluster.jobs() if int(job["Restarts"]) > 0}

    cluster.run("sbatch", "-p", "urgent", "--gpus=a100:1", "-o", "/dev/null", "--wrap", "sleep 2")
    wait_until(restarted, 30, "a preempted shard")
    preempted = restarted()
    (cancelled, _), (killed, pid), (requeued, _) = (frozen[number] for number in frozen.keys() - preempted)
    cluster.run("scancel", cancelled["JobId"])
    os.kill(pid, signal.SIGKILL)
    cluster.run("scontrol", "requeue", requeued["JobId"])

    driver.finish(300)
    assert state(cluster, cancelled)["JobState"] == "CANCELLED"
    assert state(cluster, killed)["JobState"] == "FAILED"
    assert preempted | {requeued["JobId"]} <= restarted()
    for job in (cancelled, killed):
        others = [each for each in cluster.jobs() if each.get("Comment") == job["Comment"] and each != job]
        assert "COMPLETED" in {each["JobState"] for each in others}, "Snakemake did not submit the shard again"
    assert_same_bytes(workflow, shards)


@pytest.mark.slow
@with_accounting
def test_with_accounting_the_account_of_the_profile_pays_and_an_absent_scheduler_is_waited_for(
    cluster, new_run, finished, assert_same_bytes
):
    """One shard is cancelled, one is killed, and then neither controller nor database answers for longer than the plugin's
    default would bear."""
    workflow = new_run("accounting")
    profile = workflow.folder / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text().replace('account = "" ', f'account = "{throwaway.ACCOUNT}" '))
    archives_ = targets(workflow, arm_name(finished, "base-cfg3"))
    driver = Driver(workflow, "--verbose", *archives_)
    killed, pid = freeze_in_mid_work(cluster, workflow)
    os.kill(pid, signal.SIGKILL)
    cancelled, _ = freeze_in_mid_work(cluster, workflow, {killed["JobId"]})
    cluster.run("scancel", cancelled["JobId"])
    wait_until(lambda: state(cluster, cancelled)["JobState"] == "CANCELLED", 30, "the job to be cancelled")
    for daemon in ("slurmdbd", "slurmctld"):  # told to end, so that they write down what they know
        throwaway.end(cluster.pid(daemon))
    wait_until(lambda: driver.said().count("could not check status of job") > 5, 200, "questions without an answer")
    cluster.start_accounting()
    cluster.start_controller()
    if driver.process.wait(200):
        # A shard that is to be drawn again while nobody takes jobs has failed; the next run goes on with it.
        assert "sbatch" in driver.said()
        Driver(workflow, *archives_).finish(200)
    assert "SLURM status is: 'CANCELLED'" in driver.said()
    shards = [job for job in cluster.jobs() if shard_of(job)]
    states = [job["JobState"] for job in shards]
    assert (states.count("COMPLETED"), "FAILED" in states, "CANCELLED" in states) == (2, True, True)
    assert {job["Account"] for job in shards} == {throwaway.ACCOUNT}
    assert_same_bytes(workflow, archives_)


def test_the_next_driver_takes_over_from_a_killed_one(cluster, new_run, finished, assert_same_bytes):
    """SIGINT cancels the jobs. SIGKILL leaves them, here one that runs and one that waits, and the folder locked."""
    workflow = new_run("driver")
    earlier = {job["JobId"] for job in cluster.jobs()}
    shards = targets(workflow, arm_name(finished, "finetuned-cfg3"))
    driver = Driver(workflow, shards[0])
    job, _ = freeze_in_mid_work(cluster, workflow)
    assert driver.interrupt() != 0
    wait_until(
        lambda: state(cluster, job)["JobState"] == "CANCELLED", 30, "the interrupted driver's jobs to be cancelled"
    )
    wait_until(lambda: not payloads(workflow), 30, "their processes to end")

    def of_shards(name: str) -> list[dict[str, str]]:
        ours = [each for each in cluster.jobs() if each["JobId"] not in earlier]
        return [each for each in ours if shard_of(each) and each["JobState"] == name]

    others = ("sbatch", "-p", "gpu", "-N2", "--gpus=a100:3", "-J", "others", "-o", "/dev/null", "--wrap", "sleep 600")
    cluster.run(*others)
    driver = Driver(workflow, *shards)
    running, orphan = freeze_in_mid_work(cluster, workflow)
    wait_until(lambda: of_shards("PENDING"), 30, "a shard that waits for a device")
    (waiting,) = of_shards("PENDING")
    assert driver.kill(signal.SIGKILL) == -signal.SIGKILL
    workflow.snakemake("--unlock", config="test.yaml")
    driver = Driver(workflow, *shards)
    wait_until(lambda: state(cluster, waiting)["JobState"] == "CANCELLED", 60, "the shard that waited to be cancelled")
    assert is_alive(orphan)
    cluster.run("scancel", "--name", "others")
    os.kill(orphan, signal.SIGCONT)
    driver.finish(250)
    completed = {each["JobId"]: shard_of(each) for each in of_shards("COMPLETED")}
    assert completed.pop(running["JobId"]) == shard_of(running)
    assert [*completed.values()] == [shard_of(waiting)], "what ran to its end was drawn once more"
    assert_same_bytes(workflow, shards)
