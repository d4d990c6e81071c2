"""Locks of shards: one job at a time, the dead recognised, the living waited for and named. Real processes, real kills."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from emudrift.errors import InputError
from emudrift.runtime import locks
from emudrift.runtime.jobs import Stopped, stoppable, this_job
from emudrift.runtime.locks import Lock, living_holder_of

SOURCE = Path(__file__).parents[2] / "src"


def start(body: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """A Python process with emudrift at hand; `path` is its first argument."""
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n"
        "import logging, time, os; from pathlib import Path\n"
        "from emudrift.runtime import locks, jobs; from emudrift.runtime.locks import Lock\n"
        "logging.basicConfig(level='INFO'); path = Path(sys.argv[1])\n" + body
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(
        command, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


HOLD = "with Lock(path, 'shard'):\n    print('held', flush=True)\n    time.sleep(600)"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(locks, "LOOK", 0.02)


def holding(path: Path, **environment: str) -> subprocess.Popen[str]:
    process = start(HOLD, path, **environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_lock_is_given_back(tmp_path):
    with Lock(tmp_path / "a.lock", "a"):
        assert living_holder_of(tmp_path / "a.lock") == this_job()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path, caplog):
    kill(holding(tmp_path / "a.lock", SLURM_JOB_ID="77"))
    assert living_holder_of(tmp_path / "a.lock") is None
    with caplog.at_level("INFO"), Lock(tmp_path / "a.lock", "a shard"):
        assert living_holder_of(tmp_path / "a.lock") == this_job()
    assert "a shard was locked by SLURM job 77" in caplog.text
    assert "which is dead" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_drafts_of_killed_processes_are_cleared_away(tmp_path):
    (tmp_path / ".tmp-0123-a.lock").write_text("{")
    (tmp_path / ".tmp-0123-b.lock").write_text("{")
    with Lock(tmp_path / "a.lock", "a"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".tmp-0123-b.lock"]


def test_a_pid_that_now_belongs_to_another_process_is_not_its_holder(tmp_path):
    """Ours, with another start time, as after a reboot."""
    (tmp_path / "a.lock.1").write_text(json.dumps(vars(replace(this_job(), started="1"))))
    with Lock(tmp_path / "a.lock", "a"):
        pass


def test_a_living_holder_is_waited_for_and_named(tmp_path):
    holder = holding(tmp_path / "a.lock", SLURM_JOB_ID="4711")
    waiting = start("locks.LOOK = .02\n" + HOLD, tmp_path / "a.lock")
    assert waiting.stdout is not None
    said = waiting.stdout.readline()
    assert "shard is locked by SLURM job 4711 on" in said
    assert "scancel 4711" in said
    assert waiting.poll() is None
    kill(holder)
    assert "dead" in waiting.stdout.readline()
    assert waiting.stdout.readline() == "held\n"
    kill(waiting)


def test_of_many_that_find_a_dead_holder_one_goes_on(tmp_path):
    """Each writes its entry and its exit; no two may overlap."""
    kill(holding(tmp_path / "a.lock"))
    body = (
        "locks.LOOK = .01\nwith Lock(path, 'a'):\n    log = open(sys.argv[2], 'a')\n    print('in', file=log, flush=True)\n"
        "    time.sleep(.05)\n    print('out', file=log, flush=True)"
    )
    crowd = [start(body, tmp_path / "a.lock", tmp_path / "log") for _ in range(6)]
    for process in crowd:
        assert process.wait(60) == 0, process.communicate()
    assert (tmp_path / "log").read_text().split() == ["in", "out"] * 6
    assert not list(tmp_path.glob("*.lock*"))


ELSEWHERE = {"host": "another-node"}


def foreign(path: Path, slurm_id: str | None = "5") -> None:
    path.write_text(json.dumps(vars(replace(this_job(), slurm_id=slurm_id, **ELSEWHERE))))


def test_a_silent_holder_on_another_machine_counts_as_dead_after_a_while(tmp_path, monkeypatch):
    foreign(tmp_path / "a.lock.3")
    monkeypatch.setattr(locks, "SILENCE", 0.3)
    begun = time.monotonic()
    with Lock(tmp_path / "a.lock", "a"):
        assert [path.name for path in tmp_path.iterdir()] == ["a.lock.4"]
    assert time.monotonic() - begun > 0.3


def test_a_holder_on_another_machine_that_gives_signs_of_life_is_waited_for(tmp_path, monkeypatch):
    """However wrong its clock is: its times lie in 1970."""
    foreign(tmp_path / "a.lock.1")
    monkeypatch.setattr(locks, "SILENCE", 0.3)
    looks = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        os.utime(tmp_path / "a.lock.1", (len(looks), len(looks)))
        if len(looks) == 40:
            raise Stopped("enough")

    real = time.sleep
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: (real(0.02), look(seconds)))
    with pytest.raises(Stopped), Lock(tmp_path / "a.lock", "a"):
        pytest.fail("took the lock of a living holder")
    assert len(looks) == 40


def test_a_job_that_slurm_started_again_elsewhere_does_not_wait_for_itself(tmp_path, monkeypatch):
    foreign(tmp_path / "a.lock.1", slurm_id="9")
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    with Lock(tmp_path / "a.lock", "a"):
        pass


def test_a_holder_that_was_only_asleep_leaves_when_its_lock_was_taken_over(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(locks, "BEAT", 0.05)
    with pytest.raises(Stopped, match="SIGTERM"), stoppable(), Lock(tmp_path / "a.lock", "a shard"):
        foreign(tmp_path / "a.lock.2")
        (tmp_path / "a.lock.1").unlink()
        time.sleep(20)
    assert "another job took over a shard" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock.2"], "it gave back what was not its own"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_process_that_is_told_to_end_gives_its_lock_back(tmp_path, number):
    process = start(
        "with jobs.stoppable(), Lock(path, 'a'):\n    print('held', flush=True)\n    time.sleep(600)", tmp_path / "a"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(number)
    assert process.wait(20) != 0
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_a_file_server_lost_does_not_make_a_job_wait_for_itself(tmp_path, monkeypatch):
    """The link is made, the reply is lost, the client asks again and hears that the name is taken."""
    link = os.link

    def twice(source, target):
        link(source, target)
        raise FileExistsError(target)

    monkeypatch.setattr("emudrift.runtime.atomic_files.os.link", twice)
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: pytest.fail("it waits for itself"))
    with Lock(tmp_path / "a.lock", "a"):
        assert living_holder_of(tmp_path / "a.lock") == this_job()


def test_one_failed_sign_of_life_is_not_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.02)
    utime, beats = os.utime, []

    def stumbling(path):
        beats.append(path)
        if len(beats) == 2:
            raise OSError(5, "Input/output error")
        utime(path)

    monkeypatch.setattr(locks.os, "utime", stumbling)
    with Lock(tmp_path / "a.lock", "a") as lock:
        while len(beats) < 5:
            time.sleep(0.01)
        lock.check()
        foreign(tmp_path / "a.lock.2")
        with pytest.raises(Stopped, match="another job took over"):
            lock.check()
        (tmp_path / "a.lock.2").unlink()


def test_who_was_slow_to_take_a_dead_lock_gives_way_to_who_came_meanwhile(tmp_path, monkeypatch):
    """While we write, a third process takes the dead holder's place and ends, and a fourth starts from 1 again."""
    kill(holding(tmp_path / "a.lock"))
    link, crowd = locks.hard_link, []

    def slow(draft, path):
        if not crowd:
            kept = draft.read_bytes()
            (tmp_path / "a.lock.1").unlink()
            crowd.append(holding(tmp_path / "a.lock"))
            draft.write_bytes(kept)  # Who came cleared drafts away, ours too.
        link(draft, path)

    monkeypatch.setattr(locks, "hard_link", slow)
    lock = Lock(tmp_path / "a.lock", "a")
    assert lock._take() is False
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock.1"]
    assert living_holder_of(tmp_path / "a.lock").pid == crowd[0].pid
    kill(crowd[0])


def test_one_look_tells_a_silent_holder_on_another_machine_from_a_living_one(tmp_path):
    path = tmp_path / "a.lock"
    foreign(tmp_path / "a.lock.1")
    assert living_holder_of(path).host == "another-node"
    old = time.time() - 2 * locks.SILENCE
    os.utime(tmp_path / "a.lock.1", (old, old))
    assert living_holder_of(path) is None
    assert [each.name for each in tmp_path.iterdir()] == ["a.lock.1"]


def test_a_file_system_without_hard_links_is_one_error(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("emudrift.runtime.atomic_files.os.link", refuse)
    with pytest.raises(InputError, match="operation not permitted; results must be on a file system with hard links"):
        Lock(tmp_path / "a.lock", "a").__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_was_swallowed_is_seen_at_the_next_check():
    class Swallows:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    with stoppable() as stopping:
        Swallows()
        with pytest.raises(Stopped, match="SIGTERM"):
            stopping.check()
    with stoppable() as stopping:
        stopping.ignore = True
        os.kill(os.getpid(), signal.SIGTERM)
        stopping.check()


def test_on_a_file_system_that_became_read_only_the_error_of_the_work_is_the_one_that_is_seen(
    tmp_path, monkeypatch, caplog
):
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    with (
        monkeypatch.context() as read_only,
        pytest.raises(InputError, match=r"cannot write a\.png"),
        Lock(tmp_path / "shard", "it"),
    ):
        read_only.setattr(Path, "unlink", refuse)
        raise InputError("cannot write a.png: read-only file system")
    assert "cannot release the lock on it: [Errno 30] Read-only file system" in caplog.text
    for name, of in (("write_text", Path), ("mkdir", Path)):
        with monkeypatch.context() as read_only:
            read_only.setattr(Path, "unlink", refuse)
            read_only.setattr(of, name, refuse)
            with (
                pytest.raises(InputError, match="cannot write .*: read-only file system"),
                Lock(tmp_path / "b" / "c", ""),
            ):
                pass
