"""What belongs to others, or is being made by them, is said in one line that does not cost their work."""

import os
from pathlib import Path

import pytest

from emudrift.errors import InputError
from emudrift.runtime.permissions import owner_of, refuse_read_only, refuse_unreadable
from emudrift.runtime.snakemake_locks import made_elsewhere


def test_a_folder_that_cannot_be_written_is_refused_by_name_and_owner(tmp_path, monkeypatch):
    refuse_read_only(tmp_path / "not" / "there" / "yet")
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append(path))
    with pytest.raises(
        InputError, match=f"{tmp_path}: you may not write into this folder, which belongs to {owner_of(tmp_path)}"
    ):
        refuse_read_only(tmp_path / "not" / "there" / "yet")
    assert asked == [tmp_path]


def test_a_file_of_somebody_else_is_never_said_to_be_removed(tmp_path, monkeypatch):
    (tmp_path / "record.json").touch()
    os.chown(tmp_path / "record.json", 54_321, -1) if os.geteuid() == 0 else None
    refuse_unreadable(tmp_path / "record.json")
    refuse_unreadable(tmp_path / "none")

    def denied(self, *given):
        raise PermissionError(13, "Permission denied", str(self))

    # root may read everything
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(InputError) as error:
        refuse_unreadable(tmp_path / "record.json")
    said = str(error.value)
    assert said.startswith(f"{tmp_path / 'record.json'}: you may not read this file, which belongs to ")
    assert "do not remove it" in said
    assert os.geteuid() or "belongs to user 54321:" in said
    assert owner_of(tmp_path / "none") == "another user"


def test_files_that_another_snakemake_makes_are_found_by_its_locks(tmp_path):
    wanted = [Path("resources/reference/a.npy"), tmp_path / "resources/reference/b.npz", Path("resources/c.csv")]
    assert made_elsewhere(tmp_path, wanted) == []
    locks = tmp_path / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("resources/c.csv\n")
    (locks / "0.output.lock").write_text("results/x/fid.csv\nresources/reference/b.npz\n")
    (locks / "1.output.lock").write_text("resources/reference/a.npy\n")
    assert made_elsewhere(tmp_path, wanted) == sorted(map(str, wanted[:2]))
