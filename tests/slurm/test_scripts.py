"""The batch script that runs Snakemake as a job, and the way of jobs into a container, with stand-ins for SLURM and Apptainer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, small_config

DRIVER = ROOT / "scripts/slurm/driver.sbatch"
CONTAINER = ROOT / "envs/container/python"


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Programs that note how they were called, and then do what they are told."""

    def note(name: str, then: str = "") -> None:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/called\n{then}')
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_SUBMIT_DIR", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    note("scontrol")
    return note


def called(tmp_path: Path) -> list[str]:
    return (tmp_path / "called").read_text().splitlines() if (tmp_path / "called").exists() else []


def wait_for(condition) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize("code", [0, 3])
def test_the_job_ends_as_snakemake_does(stand_ins, tmp_path, code):
    stand_ins("snakemake", f"exit {code}")
    assert subprocess.run(["bash", DRIVER, "--configfile", "my.yaml"]).returncode == code
    assert called(tmp_path) == ["snakemake --profile slurm --configfile my.yaml"]


def test_before_its_walltime_the_driver_is_killed_and_queued_again_and_then_unlocks(stand_ins, tmp_path, monkeypatch):
    stand_ins("snakemake", "exec /bin/sleep 60")
    stand_ins("sleep")
    job = subprocess.Popen(["bash", DRIVER])
    wait_for(lambda: called(tmp_path))
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) != 0
    assert "scontrol requeue 77" in called(tmp_path)
    (tmp_path / "called").unlink()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    stand_ins("snakemake", "exit 0")
    assert subprocess.run(["bash", DRIVER, "--configfile", "my.yaml"]).returncode == 0
    assert called(tmp_path) == [
        "snakemake --profile slurm --unlock --configfile my.yaml",
        "snakemake --profile slurm --configfile my.yaml",
    ]


def test_an_interrupt_reaches_snakemake_which_cancels_its_jobs(stand_ins, tmp_path):
    stand_ins(
        "snakemake", f"trap 'echo interrupted >> {tmp_path}/called; exit 9' INT; while :; do /bin/sleep 0.05; done"
    )
    # A shell ignores for good what was ignored when it started, as in a job of a non-interactive shell's background.
    job = subprocess.Popen(["bash", DRIVER], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_for(lambda: called(tmp_path))
    deadline = time.monotonic() + 60
    while job.poll() is None and time.monotonic() < deadline:
        job.send_signal(signal.SIGINT)
        time.sleep(0.1)
    job.kill()
    job.wait()
    assert job.returncode != 0
    assert "interrupted" in called(tmp_path)


def test_jobs_run_their_programs_in_the_container(stand_ins, tmp_path):
    stand_ins("apptainer")
    environment = os.environ | {"EMUDRIFT_CONTAINER": "/images/emudrift.sif", "EMUDRIFT_BIND": "/scratch,/models"}
    subprocess.run([CONTAINER, "scripts/plan.py", "--log", "a b"], cwd=tmp_path, env=environment, check=True)
    assert called(tmp_path) == [
        f"apptainer exec --nv --bind {tmp_path} --bind /scratch,/models --pwd {tmp_path} /images/emudrift.sif python "
        "scripts/plan.py --log a b"
    ]


def test_rules_find_the_containers_python_first(new_workflow, stand_ins, tmp_path):
    workflow = new_workflow("container")
    config = workflow.write_config(small_config())
    stand_ins("apptainer", f'while [ "$1" != python ]; do shift; done; shift; exec {sys.executable} "$@"')
    environment = {"EMUDRIFT_CONTAINER": "emudrift.sif", "PATH": os.environ["PATH"]}
    workflow.snakemake("plan", config=config, environment=environment)
    (call,) = (line for line in called(tmp_path) if line.startswith("apptainer"))
    assert " emudrift.sif python scripts/plan.py" in call
