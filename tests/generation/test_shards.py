"""Shards: killed anywhere and run again they give the same bytes; nothing broken, foreign or stale counts as done."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.archives import check_archive, read_archive, write_archive
from emudrift.generation.batching import fixed_batching
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.interface import Batching, GeneratedImage
from emudrift.generation.shards import Identity, PartialShard
from emudrift.runtime import atomic_files

IDENTITY = Identity("0123456789ab", "d" * 64)
PROMPTS = [Prompt(row, f"{row:012d}", row, f"{row}.png", 8, 8, f"caption {row} é", 7 * row + 1) for row in range(10)]


class Painter:
    """Draws noise from the seed and counts what it is asked for."""

    size = (8, 16)
    batch_size = 4

    def __init__(self, pause: float = 0) -> None:
        self.pause, self.asked = pause, []

    def generate(self, prompts: Sequence[Prompt]) -> Iterator[GeneratedImage]:
        self.asked.append([prompt.row for prompt in prompts])
        for prompt in prompts:
            time.sleep(self.pause)
            random = np.random.default_rng(prompt.seed)
            yield GeneratedImage(
                random.integers(0, 256, (16, 8, 3), np.uint8), random.integers(0, 99, (2, 1)).astype(np.uint16)
            )

    def device(self) -> str:
        return "test"


def make(folder: Path, painter: Painter, prompts=PROMPTS, identity=IDENTITY) -> bytes:
    partial = PartialShard(folder / "partial", identity, None)
    draw_shard(prompts, partial, lambda: painter)
    write_archive(folder / "a.tar", prompts, partial)
    return (folder / "a.tar").read_bytes()


@pytest.fixture
def undisturbed(tmp_path) -> bytes:
    return make(tmp_path / "undisturbed", Painter())


def test_the_archive_is_a_webdataset_tar_in_row_order_that_says_nothing_of_when_and_where(tmp_path, undisturbed):
    path = tmp_path / "undisturbed" / "a.tar"
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        record = json.load(tar.extractfile(members[1]))
        tokens = np.load(io.BytesIO(tar.extractfile(members[2]).read()))
    assert [m.name for m in members] == [
        f"{p.prompt_id}{end}" for p in PROMPTS for end in (".png", ".json", ".tokens.npy")
    ]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    assert (record["caption"], record["seed"], record["fingerprint"]) == ("caption 0 é", 1, "0123456789ab")
    drawing = next(Painter().generate(PROMPTS[:1]))
    np.testing.assert_array_equal(tokens, drawing.tokens)
    first_id, first_image = next(read_archive(path))
    assert first_id == PROMPTS[0].prompt_id
    np.testing.assert_array_equal(np.asarray(first_image), drawing.image)


def test_killed_in_mid_work_again_and_again_gives_the_same_bytes(tmp_path, undisturbed):
    """A real process, a real SIGKILL, at a different moment each time."""
    program = (
        f"import sys; sys.path[:0] = {[str(ROOT / folder) for folder in ('src', 'tests', 'tests/generation')]!r}\n"
        f"from pathlib import Path; from test_shards import *; make(Path({str(tmp_path / 'killed')!r}), Painter(0.03))"
    )
    partial = tmp_path / "killed" / "partial"
    for done in (1, 3, 6, 9):
        process = subprocess.Popen([sys.executable, "-c", program])
        while len(list(partial.glob("[0-9]*.json"))) < done and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the process ended before it was killed: the test proves nothing"
        assert not (tmp_path / "killed" / "a.tar").exists()
    assert make(tmp_path / "killed", painter := Painter()) == undisturbed
    assert painter.asked in ([], [[8, 9]]), "finished images were drawn again"


def test_a_resumed_batch_holds_the_same_rows_as_an_undisturbed_one(tmp_path, undisturbed):
    make(tmp_path, Painter())
    for row in (1, 9):
        (tmp_path / "partial" / f"{PROMPTS[row].prompt_id}.png").unlink()
    assert make(tmp_path, painter := Painter()) == undisturbed
    assert painter.asked == [[0, 1, 2, 3], [8, 9]]


def test_the_first_shard_fixes_the_batch_size_of_its_arm(tmp_path):
    path = tmp_path / "arm" / "batch.json"
    assert fixed_batching(path, Batching(20, 50)) == Batching(20, 50)
    assert fixed_batching(path, Batching(8, 50)) == Batching(20, 50)
    assert sorted(path.name for path in (tmp_path / "arm").iterdir()) == ["batch.json", "batch.json.sha256"]
    with pytest.raises(InputError, match="padded to 50 tokens, but one now has 51: the captions have changed"):
        fixed_batching(path, Batching(20, 51))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("ending", [".png", ".json", ".tokens.npy"])
@pytest.mark.parametrize("fault", [Path.unlink, truncate, lambda path: path.write_bytes(b"")])
def test_a_broken_sample_is_made_again(tmp_path, undisturbed, ending, fault):
    make(tmp_path, Painter())
    fault(tmp_path / "partial" / f"{PROMPTS[5].prompt_id}{ending}")
    assert make(tmp_path, painter := Painter()) == undisturbed
    assert painter.asked == [[4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("prompts", "identity"),
    [
        (PROMPTS, Identity("ba9876543210", "d" * 64)),
        (PROMPTS, Identity("0123456789ab", "e" * 64)),
        ([Prompt(**(vars(p) | {"caption": p.caption + "!"})) for p in PROMPTS], IDENTITY),
        ([Prompt(**(vars(p) | {"seed": p.seed + 1})) for p in PROMPTS], IDENTITY),
    ],
    ids=["other settings", "other weights", "other captions", "other seeds"],
)
def test_images_of_another_arm_are_never_mixed_in(tmp_path, prompts, identity):
    make(tmp_path, Painter())
    with pytest.raises(InputError, match="generated with other settings, weights or prompts"):
        check_archive(tmp_path / "a.tar", prompts, identity)
    make(tmp_path, painter := Painter(), prompts, identity)
    assert painter.asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_missing_image_fails_the_shard_and_leaves_no_archive(tmp_path):
    make(tmp_path, Painter())
    (tmp_path / "a.tar").unlink()
    (tmp_path / "partial" / f"{PROMPTS[3].prompt_id}.png").unlink()
    with pytest.raises(InputError, match=r"image 000000000003 \(row 3\) is missing"):
        write_archive(tmp_path / "a.tar", PROMPTS, PartialShard(tmp_path / "partial", IDENTITY, None))
    assert [path.name for path in tmp_path.iterdir()] == ["partial"]


def test_a_truncated_archive_is_refused(tmp_path, undisturbed):
    path = tmp_path / "a.tar"
    path.write_bytes(undisturbed[:5000])
    with pytest.raises(InputError, match=r"a\.tar"):
        check_archive(path, PROMPTS, IDENTITY)


def test_an_image_of_the_wrong_size_is_refused(tmp_path):
    partial = PartialShard(tmp_path / "partial", IDENTITY, (8, 8))
    with pytest.raises(InputError, match=r"has 8 x 16 pixels, expected \(8, 8\)"):
        partial.write(PROMPTS[0], next(Painter().generate(PROMPTS)))


def test_a_killed_packer_leaves_no_litter_behind_the_next(tmp_path, undisturbed):
    litter = tmp_path / f"{atomic_files.TEMPORARY_PREFIX}0123456789ab-a.tar"
    litter.write_bytes(b"half an archive")
    assert make(tmp_path, Painter()) == undisturbed
    assert not litter.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="DISK FULL NOT TESTED: mounting a small disk needs root")
def test_a_full_disk_while_packing_is_one_error_and_the_images_stay(tmp_path, undisturbed):
    """A real disk of 64 KiB that is too small for the archive."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"DISK FULL NOT TESTED: cannot mount a small disk: {mounted.stderr}")
    many = [Prompt(**(vars(PROMPTS[0]) | {"row": row, "prompt_id": f"{row:012d}"})) for row in range(40)]
    try:
        with pytest.raises(InputError, match="no space left on device") as error:
            partial = PartialShard(tmp_path / "partial", IDENTITY, None)
            draw_shard(many, partial, Painter)
            write_archive(disk / "a.tar", many, partial)
        assert error.value.__cause__.errno == errno.ENOSPC
        assert list(disk.iterdir()) == []
        assert partial.missing(many) == set()
    finally:
        subprocess.run(["umount", disk], check=True)
