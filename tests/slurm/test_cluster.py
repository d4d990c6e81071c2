"""The throw-away cluster keeps to its own folder, ports and processes."""

import os
import subprocess
import sys

import cluster as throwaway
import pytest


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(throwaway, "RUN", tmp_path)
    monkeypatch.setattr(throwaway.Cluster, "cancel_all", lambda self: None)
    return tmp_path


def daemon(room, *arguments):
    """What a pid file of this cluster names."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *arguments])
    (room / "munged.pid").write_text(f"{process.pid}\n")
    return process


def test_each_cluster_has_a_folder_and_ports_of_its_own(run):
    first, second = throwaway.claimed_room(), throwaway.claimed_room()
    assert first != second
    assert not set(throwaway.ports_of(first)) & set(throwaway.ports_of(second))


def test_ports_that_another_program_uses_are_left_to_it(run):
    first = throwaway.claimed_room()
    first.rmdir()
    with throwaway.socket.socket() as other:
        other.setsockopt(throwaway.socket.SOL_SOCKET, throwaway.socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", throwaway.ports_of(first)[3]))
        other.listen()
        assert throwaway.claimed_room() != first


def test_what_a_killed_test_run_left_is_cleared_away_and_a_living_one_stays(run):
    dead, alive, by_hand = (throwaway.claimed_room() for _ in range(3))
    left = daemon(dead, f"--key-file={dead}/munge.key")
    throwaway.wait_until(lambda: throwaway.Cluster(dead).is_ours(left.pid), 10, "the process to have its arguments")
    (dead / "owner").touch()
    with open(alive / "owner", "w") as owner:
        throwaway.fcntl.flock(owner, throwaway.fcntl.LOCK_EX)
        throwaway.sweep()
    assert left.wait(10)
    assert (dead.exists(), alive.exists(), by_hand.exists()) == (False, True, True)


def test_another_process_with_the_number_of_a_dead_daemon_is_not_stopped(run):
    room = throwaway.claimed_room()
    other = daemon(room)
    throwaway.Cluster(room).stop()
    assert other.poll() is None
    other.kill()
    other.wait()
    assert not room.exists()


def test_missing_commands_are_named(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(throwaway, "COMMANDS", ("sh", "no-such-daemon"))
    assert "no-such-daemon" in throwaway.why_not()
