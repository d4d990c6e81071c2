"""The throw-away cluster keeps its hands off a real one."""

import cluster as throwaway
import pytest


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    for name in ("ETC", "ROOM"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setattr(throwaway, name, folder)
    monkeypatch.setattr(throwaway.os, "geteuid", lambda: 0)
    monkeypatch.setattr(throwaway, "COMMANDS", ("sh",))
    monkeypatch.setattr(
        throwaway.Cluster, "cancel_all", lambda self: None
    )  # there may be a cluster of another test run
    return throwaway.ETC / "slurm.conf"


def test_a_real_clusters_configuration_is_refused_and_left_alone(elsewhere):
    assert throwaway.why_not() == ""
    elsewhere.write_text("ClusterName=real\n")
    assert "is not ours" in throwaway.why_not()
    throwaway.stop()
    assert elsewhere.read_text() == "ClusterName=real\n"


def test_what_a_killed_test_run_left_is_cleared_away(elsewhere):
    elsewhere.write_text(throwaway.OURS + "ClusterName=ci\n")
    assert throwaway.why_not() == ""
    throwaway.stop()
    assert not elsewhere.exists()
    assert not throwaway.ROOM.exists()


def test_missing_commands_are_named(elsewhere, monkeypatch):
    monkeypatch.setattr(throwaway, "COMMANDS", ("sh", "no-such-daemon"))
    assert "no-such-daemon" in throwaway.why_not()
