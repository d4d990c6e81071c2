"""Jobs that a dead driver left: which runs are dead, what is cancelled, waited for, taken over. tests/slurm has a real SLURM."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from emudrift.errors import InputError
from emudrift.runtime import slurm_runs
from emudrift.runtime.jobs import this_job


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A squeue that answers with the next of these lists of jobs each time, and a scancel that notes what it is told."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()

    def set_up(*answers: str) -> None:
        for number, answer in enumerate(answers):
            (tmp_path / f"answer-{number}").write_text("".join(f"{row}\n" for row in answer.split()))
        (bin_ / "squeue").write_text(
            f'#!/bin/sh\necho "squeue $*" >> {tmp_path}/asked\n'
            f'exec cat "{tmp_path}/answer-$(( $(grep -c squeue {tmp_path}/asked) - 1 ))"\n'
        )
        (bin_ / "scancel").write_text(f'#!/bin/sh\necho "scancel $*" >> {tmp_path}/asked\n')
        for command in bin_.iterdir():
            command.chmod(0o755)

    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    monkeypatch.setattr(slurm_runs, "LOOK", 0)
    monkeypatch.setattr(slurm_runs.time, "sleep", lambda seconds: None)
    set_up.asked = tmp_path / "asked"
    return set_up


def test_what_waits_is_cancelled_what_runs_is_waited_for_and_what_completed_is_named(queue):
    queue(
        "7|RUNNING|rule_a 8|PENDING|rule_b",
        "7|COMPLETING|rule_a",
        "",
        "7|COMPLETED|rule_a 8|CANCELLED|rule_b 10|FAILED|rule_c 9|COMPLETED|rule_c 3|FAILED|rule_d 4|COMPLETED|rule_d",
    )
    said: list[str] = []
    assert slurm_runs.settle({"one", "two"}, said.append) == {"rule_a", "rule_d"}, "the last attempt counts"
    asked = queue.asked.read_text().splitlines()
    assert [line for line in asked if line.startswith("scancel")] == ["scancel --state=PENDING 8"]
    assert all("--name=one,two" in line for line in asked if line.startswith("squeue"))
    assert said == [
        "an earlier run left 1 job (8); cancelled",
        "an earlier run left 1 job (7), still running; waiting for them. To continue without them: scancel 7",
    ]


def test_a_queue_that_does_not_answer_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InputError, match="Unable to contact; an earlier run was killed and may have left jobs, so try"):
        slurm_runs.settle({"one"}, print)


def test_a_run_is_dead_when_its_driver_is(tmp_path):
    assert slurm_runs.dead_runs(tmp_path / "absent") == {}
    program = (
        "import sys, time; from pathlib import Path; from emudrift.runtime.slurm_runs import begin; "
        f"begin(Path({str(tmp_path)!r}), 'run'); print('begun', flush=True); time.sleep(60)"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert driver.stdout.readline() == "begun\n"
    assert slurm_runs.dead_runs(tmp_path) == {}
    driver.kill()
    driver.wait()
    assert slurm_runs.dead_runs(tmp_path) == {"run": [tmp_path / "run.1"]}


def test_a_driver_on_another_machine_lives_as_long_as_its_heart_beats(tmp_path):
    file = tmp_path / "run.1"
    file.write_text(json.dumps(asdict(this_job()) | {"host": "elsewhere"}))
    assert slurm_runs.dead_runs(tmp_path) == {}
    os.utime(file, (0, 0))
    assert slurm_runs.dead_runs(tmp_path) == {"run": [file]}
