"""The shipped profile and the unmodified executor plugin on a real SLURM cluster with two GPU nodes of two (fake) A100s.

Whatever befalls a run, its archives must be the bytes that the undisturbed run on this machine made. Images are drawn on the
CPU (device: cpu), while the profile asks SLURM for a GPU for each GPU rule, as it always does.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator

import cluster as throwaway
import pytest
from cluster import Cluster, is_alive, wait_until
from conftest import Workflow, archives, arm_name
from drive import (
    Driver,
    freeze_in_mid_work,
    kill_leftovers,
    payloads,
    prepare,
    shard_of,
    state,
    targets,
    wait_for_mid_work,
)

GPU_RULES = ("generate_shard", "extract_features", "reference_features", "embed_captions")
CPU_JOBS = ("reference_statistics", "distances", "gallery", "page")


@pytest.fixture(scope="module", params=[False], ids=["squeue"])
def cluster(request: pytest.FixtureRequest):
    """One cluster at a time; `accounting` decides whether sacct answers."""
    reason = throwaway.why_not(accounting=request.param)
    if reason:
        message = f"SLURM NOT TESTED: {reason}"
        pytest.fail(message) if os.environ.get("EMUDRIFT_REQUIRE_SLURM") else pytest.skip(message)
    with throwaway.alone(), first_in_line():
        running = Cluster(accounting=request.param)
        try:
            running.start()
            yield running
        finally:
            throwaway.stop()


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

    def make(name: str, checked: bool = True) -> Workflow:
        """`checked`: prompts and checked models are there, and only shards are left to be drawn."""
        workflow = new_workflow(name)
        made.append(workflow)
        if checked:
            workflow.take_over(request.getfixturevalue("finished").folder)
            shutil.rmtree(workflow.folder / "results/small/images")
        return prepare(workflow)

    yield make
    while Driver.running:
        Driver.running.pop().kill()
    cluster.cancel_all()
    for workflow in made:
        kill_leftovers(workflow)


@pytest.fixture
def assert_same_bytes(request: pytest.FixtureRequest):
    """Compares archives with those of the undisturbed run on this machine, which is not waited for before."""

    def compare(workflow: Workflow, *names: str) -> None:
        undisturbed = request.getfixturevalue("finished")
        arms = {arm_name(undisturbed, name) for name in names}
        expected = {path: data for path, data in archives(undisturbed.results).items() if path.split("/")[1] in arms}
        made = archives(workflow.results)
        assert list(made) == list(expected)
        assert [path for path in expected if made[path] != expected[path]] == []

    return compare


def test_every_rule_lands_where_it_belongs_and_the_images_are_those_of_a_local_run(cluster, new_run, assert_same_bytes):
    workflow = new_run("whole", checked=False)
    driver = Driver(workflow)
    most, devices = 0, {}
    limit = time.monotonic() + 300
    while driver.process.poll() is None and time.monotonic() < limit:
        running = [job for job in cluster.jobs() if job["JobState"] == "RUNNING" and job["Partition"] == "gpu"]
        used = [(job["BatchHost"], job["GRES"]) for job in running if job.get("GRES")]
        assert len(used) == len(set(used)) <= 4, "two jobs on one device"
        most = max(most, len(used))
        seen = {job["JobId"]: job for job in running if job.get("GRES")}
        for job_id, (_, environment) in payloads(workflow).items():
            if job_id in seen:
                devices[job_id] = environment["CUDA_VISIBLE_DEVICES"], seen[job_id]["GRES"]
        time.sleep(0.3)
    driver.finish(10)
    assert most == 4, "four devices were free, but they were never all used"
    assert len(devices) == 4
    assert all(gres == f"gpu:a100:1(IDX:{index})" for index, gres in devices.values())

    jobs = cluster.jobs()
    for job in jobs:
        rule = job["Comment"].removeprefix("rule_").split("_wildcards_")[0]
        if rule in GPU_RULES:
            assert (job["Partition"], job["JOB_GRES"]) == ("gpu", "gpu:a100:1")
        else:
            assert rule.startswith(CPU_JOBS), rule
            assert (job["Partition"], job.get("JOB_GRES")) == ("cpu", None)
        assert job["JobState"] == "COMPLETED"
    assert sum(job["Partition"] == "gpu" for job in jobs) == 1 + 4 + 4
    assert sum(job["Partition"] == "cpu" for job in jobs) == 1 + 1 + 1 + 1, "short jobs go together"
    assert (workflow.results / "report.html").stat().st_size
    assert_same_bytes(workflow, "base-cfg3", "finetuned-cfg3")


def test_cancelled_killed_requeued_and_preempted_shards_end_as_the_same_bytes(
    cluster, new_run, finished, assert_same_bytes
):
    """Four shards at once; each fault hits one that has drawn some of its images."""
    workflow = new_run("faults")
    arms = [arm_name(finished, name) for name in ("base-cfg3", "finetuned-cfg3")]
    driver = Driver(workflow, *(path for arm in arms for path in targets(workflow, arm)))
    frozen: dict[str, tuple[dict[str, str], int]] = {}
    while len(frozen) < 4:
        job, pid = freeze_in_mid_work(cluster, workflow, frozen.keys())
        frozen[job["JobId"]] = job, pid
    assert {state(cluster, job)["JobState"] for job, _ in frozen.values()} == {"RUNNING"}, "not four at once"

    def restarted() -> set[str]:
        return {job["JobId"] for job in cluster.jobs() if int(job["Restarts"]) > 0}

    throwaway.run("sbatch", "-p", "urgent", "--gpus=a100:1", "-o", "/dev/null", "--wrap", "sleep 2")
    wait_until(restarted, 30, "a preempted shard")
    preempted = restarted()
    (cancelled, _), (killed, pid), (requeued, _) = (frozen[number] for number in frozen.keys() - preempted)
    throwaway.run("scancel", cancelled["JobId"])
    os.kill(pid, signal.SIGKILL)
    throwaway.run("scontrol", "requeue", requeued["JobId"])

    driver.finish(300)
    assert state(cluster, cancelled)["JobState"] == "CANCELLED"
    assert state(cluster, killed)["JobState"] == "FAILED"
    assert preempted | {requeued["JobId"]} <= restarted()
    for job in (cancelled, killed):
        others = [each for each in cluster.jobs() if each.get("Comment") == job["Comment"] and each != job]
        assert "COMPLETED" in {each["JobState"] for each in others}, "Snakemake did not submit the shard again"
    assert_same_bytes(workflow, "base-cfg3", "finetuned-cfg3")


@with_accounting
def test_with_accounting_the_account_of_the_profile_pays_and_an_absent_scheduler_is_waited_for(
    cluster, new_run, finished, assert_same_bytes
):
    """One shard is cancelled, one is killed, and then neither controller nor database answers for longer than the plugin's
    default would bear."""
    workflow = new_run("accounting")
    profile = workflow.folder / "profiles/slurm/config.yaml"
    profile.write_text(profile.read_text().replace('account = "" ', f'account = "{throwaway.ACCOUNT}" '))
    arm = arm_name(finished, "base-cfg3")
    driver = Driver(workflow, "--verbose", *targets(workflow, arm))
    killed = wait_for_mid_work(cluster, workflow, set())
    os.kill(payloads(workflow)[killed["JobId"]][0], signal.SIGKILL)
    cancelled = wait_for_mid_work(cluster, workflow, {killed["JobId"]})
    throwaway.run("scancel", cancelled["JobId"])
    wait_until(lambda: state(cluster, cancelled)["JobState"] == "CANCELLED", 30, "the job to be cancelled")
    for daemon in ("slurmdbd", "slurmctld"):  # told to end, so that they write down what they know
        throwaway.end(cluster.pid(daemon))
    wait_until(lambda: driver.said().count("could not check status of job") > 5, 200, "questions without an answer")
    cluster.start_accounting()
    cluster.start_controller()
    if driver.process.wait(200):
        # A shard that is to be drawn again while nobody takes jobs has failed; the next run goes on with it.
        assert "sbatch" in driver.said()
        Driver(workflow, *targets(workflow, arm)).finish(200)
    assert "SLURM status is: 'CANCELLED'" in driver.said()
    shards = [job for job in cluster.jobs() if shard_of(job)]
    states = [job["JobState"] for job in shards]
    assert (states.count("COMPLETED"), "FAILED" in states, "CANCELLED" in states) == (2, True, True)
    assert {job["Account"] for job in shards} == {throwaway.ACCOUNT}
    assert_same_bytes(workflow, "base-cfg3")


@with_accounting
def test_a_killed_driver_can_be_started_again(cluster, new_run, finished, assert_same_bytes):
    """SIGINT cancels the jobs. SIGKILL leaves them running and the folder locked; the next run submits them once more."""
    workflow = new_run("driver")
    arm = arm_name(finished, "finetuned-cfg3")
    driver = Driver(workflow, *targets(workflow, arm))
    job, _ = freeze_in_mid_work(cluster, workflow)
    assert driver.kill(signal.SIGINT) != 0
    wait_until(
        lambda: state(cluster, job)["JobState"] == "CANCELLED", 30, "the interrupted driver's jobs to be cancelled"
    )
    wait_until(lambda: not payloads(workflow), 30, "their processes to end")

    driver = Driver(workflow, *targets(workflow, arm))
    _, orphan = freeze_in_mid_work(cluster, workflow)
    assert driver.kill(signal.SIGKILL) == -signal.SIGKILL
    assert is_alive(orphan)
    refused = Driver(workflow, *targets(workflow, arm))
    assert refused.process.wait(60) != 0
    assert "Directory cannot be locked" in refused.said()
    assert Driver(workflow, "--unlock").process.wait(60) == 0
    os.kill(orphan, signal.SIGCONT)
    Driver(workflow, *targets(workflow, arm)).finish(250)
    assert_same_bytes(workflow, "finetuned-cfg3")
