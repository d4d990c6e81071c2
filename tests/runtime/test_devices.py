import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT

from emudrift.errors import InputError
from emudrift.runtime import devices
from emudrift.runtime.devices import claim, torch_device, visible_devices

JOB = """
import logging, os, subprocess, sys, time
from pathlib import Path
from emudrift.runtime import devices

logging.basicConfig(level=logging.INFO, format="%(message)s")
devices.POLL_S = 0.02
folder, count, child = sys.argv[1:]
print(devices.claim([f"fake-{i}" for i in range(int(count))], Path(folder)), flush=True)
if child == "fork":
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    print(pid, flush=True)
if child == "exec":
    print(subprocess.Popen(["sleep", "60"], close_fds=False).pid, flush=True)
sys.stdin.read()  # holds the device until it is killed, or the test closes its end
"""


class Jobs:
    """Real processes that claim fake devices of one machine and hold them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, count: int, child: str = "none") -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", JOB, str(self.folder), str(count), child]
        job = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.started.append(job)
        return job


def said(job: subprocess.Popen[str]) -> int:
    """The next number that a job prints: its device first."""
    assert job.stdout is not None
    return int(job.stdout.readline())


def logged(job: subprocess.Popen[str]) -> str:
    assert job.stderr is not None
    return job.stderr.readline()


def kill(job: subprocess.Popen[str]) -> None:
    job.kill()
    job.wait()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    result = Jobs(tmp_path / "locks")
    # A lock that is never freed must end a test, not hang it.
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("a job waits for a device that should be free"))
    signal.alarm(20)
    yield result
    signal.alarm(0)
    for job in result.started:
        kill(job)
        for pipe in (job.stdin, job.stdout, job.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process holds no device before the test, and none after it."""
    held: dict[Path, int] = {}
    monkeypatch.setattr(devices, "_held", held)
    yield
    for descriptor in held.values():
        os.close(descriptor)


@pytest.mark.parametrize("count", range(1, 9))
def test_as_many_jobs_as_devices_get_one_each(jobs: Jobs, count: int):
    started = [jobs.start(count) for _ in range(count)]
    assert sorted(said(job) for job in started) == list(range(count))


def test_a_job_too_many_waits_says_for_whom_and_goes_on_when_a_holder_is_killed(jobs: Jobs):
    holders = [jobs.start(2)]
    assert said(holders[0]) == 0
    holders.append(jobs.start(2))
    assert said(holders[1]) == 1
    late = jobs.start(2)
    pids = f"{holders[0].pid}, {holders[1].pid}"
    assert logged(late) == f"all 2 GPUs are in use by pids {pids}; waiting\n"
    os.kill(holders[1].pid, signal.SIGKILL)
    assert said(late) == 1
    assert logged(late) == "GPU 1 is free now; continuing\n"
    note = (jobs.folder / "fake-1.lock").read_text()
    assert note.startswith(f"{late.pid} since ")
    assert len(note.splitlines()) == 1


@pytest.mark.parametrize("child", ["fork", "exec"])
def test_a_child_that_outlives_its_job_does_not_keep_the_device(jobs: Jobs, child: str):
    job = jobs.start(1, child)
    assert said(job) == 0
    orphan = said(job)
    try:
        kill(job)
        assert said(jobs.start(1)) == 0
        os.kill(orphan, 0)  # it is still there
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_child_that_ends_leaves_the_device_with_its_job(jobs: Jobs):
    job = jobs.start(1, "fork")
    assert said(job) == 0
    os.kill(said(job), signal.SIGKILL)
    assert logged(jobs.start(1)) == f"the GPU is in use by pid {job.pid}; waiting\n"


@pytest.mark.usefixtures("nothing_held")
def test_a_process_that_asks_again_gets_its_device_again(jobs: Jobs):
    first = jobs.start(3)
    assert said(first) == 0
    names = ["fake-0", "fake-1", "fake-2"]
    assert claim(names, jobs.folder) == 1
    kill(first)  # the first device is free now; this process has its own
    assert [claim(names, jobs.folder), claim(names[::-1], jobs.folder)] == [1, 1]
    assert said(jobs.start(3)) == 0


@pytest.mark.usefixtures("nothing_held")
def test_cuda_is_the_first_free_gpu_by_its_uuid_and_becomes_the_current_device(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
):
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"fake-{index}"))
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(devices, "lock_folder", lambda: jobs.folder)
    assert said(jobs.start(1)) == 0
    assert torch_device("cuda") == torch_device("cuda") == torch.device("cuda", 1)
    assert current == [torch.device("cuda", 1)] * 2
    assert torch_device("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("nothing_held")
@pytest.mark.parametrize(("visible", "said"), [(None, "1"), ("2, 5", "5"), ("GPU-aa,GPU-bb", "GPU-bb"), ("", "1")])
def test_another_program_is_shown_the_claimed_gpu_alone(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, visible: str | None, said: str
):
    """The numbers of torch count what CUDA_VISIBLE_DEVICES shows."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"fake-{index}"))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: pytest.fail("this process is not to use the GPU"))
    monkeypatch.setattr(devices, "lock_folder", lambda: jobs.folder)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert jobs.start(1).stdout.readline() == "0\n"
    assert visible_devices("cuda") == said
    assert visible_devices("cpu") == ""


def test_a_folder_that_cannot_hold_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(InputError, match=f"absent/emudrift-devices-{os.getuid()}: cannot create the folder"):
        claim(["fake"], devices.lock_folder())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="link: not a folder owned by this user"):
        claim(["fake"], tmp_path / "link")
    (tmp_path / "fake.lock").symlink_to(tmp_path / "file of another user")
    with pytest.raises(InputError, match=r"fake\.lock: cannot open a GPU lock"):
        claim(["fake"], tmp_path)


SNAKEFILE = """
rule all:
    input:
        expand("done/{{i}}", i=range({jobs})),

rule shard:
    output:
        "done/{{i}}",
    threads: 1
    resources:
        gpu=1,
    shell:
        "{python} shard.py {{wildcards.i}} {{output}}"
"""

SHARD = """
import json, os, sys, time
from pathlib import Path
from emudrift.runtime import devices

COUNT = {devices}
devices.POLL_S = 0.02

def record(**event):
    # One write to the end of the file: events of several jobs keep their order.
    with open("events.jsonl", "ab", buffering=0) as file:
        file.write(json.dumps({{"job": sys.argv[1]}} | event).encode() + b"\\n")

def jobs(what):
    return [event["job"] for line in open("events.jsonl") if (event := json.loads(line))["what"] == what]

record(what="started")
device = devices.claim([f"fake-{{i}}" for i in range(COUNT)], Path("locks"))
record(what="claimed", device=device)
# Jobs hold their devices until as many have one as there are devices, and as many were started as the user asked for.
needed = (jobs("claimed").index(sys.argv[1]) // COUNT + 1) * COUNT
deadline = time.monotonic() + 15
while len(jobs("claimed")) < needed or len(jobs("started")) < {gpu}:
    assert time.monotonic() < deadline, "not as many jobs at once as there are devices"
    time.sleep(0.02)
time.sleep(0.2)  # a job that should not be there yet has time to come
record(what="ended", device=device)
Path(sys.argv[2]).touch()
"""


@pytest.mark.parametrize(("gpu", "count"), [(3, 3), (4, 2)], ids=["as many as there are", "more than there are"])
def test_the_local_profile_runs_that_many_gpu_jobs_each_on_its_own_device(tmp_path: Path, gpu: int, count: int):
    jobs = 2 * count
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(jobs=jobs, python=sys.executable))
    (tmp_path / "shard.py").write_text(SHARD.format(devices=count, gpu=gpu))
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "local")]
    result = subprocess.run(
        [*command, "--resources", f"gpu={gpu}", "--cores", "8"],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert len(events) == 3 * jobs, "every job at its first attempt"
    running: set[str] = set()
    busy: dict[int, str] = {}
    most_running = most_busy = 0
    for event in events:
        job = event["job"]
        if event["what"] == "started":
            running.add(job)
        elif event["what"] == "claimed":
            assert event["device"] not in busy, f"two jobs on device {event['device']} at once"
            busy[event["device"]] = job
        else:
            assert busy.pop(event["device"]) == job
            running.remove(job)
        most_running, most_busy = max(most_running, len(running)), max(most_busy, len(busy))
    assert (most_running, most_busy) == (gpu, count)


def test_the_local_profile_asks_for_one_gpu_job_at_a_time_until_the_user_says_how_many(tmp_path: Path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(jobs=2, python=sys.executable))
    (tmp_path / "shard.py").write_text(SHARD.format(devices=1, gpu=1))
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "local"), "--cores", "8"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=100)
    events = [json.loads(line)["what"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert events == ["started", "claimed", "ended"] * 2
