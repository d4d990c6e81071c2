"""Records, images and tokens that are anything but what was written: generated again, or refused in one line."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_shards import IDENTITY, PROMPTS, Painter, make, undisturbed

from emudrift.errors import InputError
from emudrift.generation.archives import check_archive, intact_samples, read_archive
from emudrift.generation.attempts import History
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.interface import GeneratedImage
from emudrift.generation.shards import PartialShard

__all__ = ["undisturbed"]
PROMPT = PROMPTS[5]
RECORDS = {
    "empty": b"",
    "no text": b"\xff\xfe\x00",
    "half": b'{"caption": "a',
    "list": b"[]",
    "list of pairs": b'[["sha256", {}]]',
    "null": b"null",
    "number": b"3",
    "text": b'"sha256"',
    "object": b"{}",
    "no sums": b'{"sha256": null}',
    "a list of sums": json.dumps(IDENTITY.record(PROMPT) | {"sha256": [".png"]}).encode(),
    "no image": json.dumps(IDENTITY.record(PROMPT) | {"sha256": {}}).encode(),
    "sums that are no text": json.dumps(IDENTITY.record(PROMPT) | {"sha256": {".png": None}}).encode(),
    "a member elsewhere": json.dumps(IDENTITY.record(PROMPT) | {"sha256": {"/../x": "0"}}).encode(),
    "nested without end": b"[" * 200_000,
}


@pytest.mark.parametrize("record", RECORDS)
def test_a_sample_with_a_broken_record_is_made_again(tmp_path, undisturbed, record):
    make(tmp_path, Painter())
    (tmp_path / "partial" / f"{PROMPT.prompt_id}.json").write_bytes(RECORDS[record])
    assert make(tmp_path, painter := Painter()) == undisturbed
    assert painter.asked == [[4, 5, 6, 7]]


@pytest.mark.parametrize("record", RECORDS)
def test_an_archive_with_a_broken_record_is_refused_and_the_rest_of_it_can_be_used(tmp_path, undisturbed, record):
    path = tmp_path / "a.tar"
    with tarfile.open(fileobj=io.BytesIO(undisturbed)) as old, tarfile.open(path, "w") as new:
        for member in old:
            data = old.extractfile(member).read()
            if member.name == f"{PROMPT.prompt_id}.json":
                data = RECORDS[record]
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    for read in (lambda: check_archive(path, PROMPTS, IDENTITY), lambda: list(read_archive(path))):
        with pytest.raises(InputError, match=r"a\.tar: (image )?0+5"):
            read()
    assert [each.prompt_id for each in intact_samples(path)] == [p.prompt_id for p in PROMPTS if p != PROMPT]


def test_a_folder_in_the_place_of_an_image_is_named(tmp_path):
    make(tmp_path, Painter())
    path = tmp_path / "partial" / f"{PROMPT.prompt_id}.png"
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=f"cannot write {path}: is a directory"):
        make(tmp_path, Painter())


@pytest.mark.parametrize(
    "content",
    [
        {"codes": np.zeros((4, 2, 1)), "records": "[1, 2, 3, 4]", "drawn_together": 4},
        {"codes": np.zeros((4, 2, 1)), "records": "{}", "drawn_together": 4},
        {
            "codes": np.zeros((3, 2, 1)),
            "records": json.dumps([IDENTITY.record(p) for p in PROMPTS[:4]]),
            "drawn_together": 4,
        },
        {"codes": np.zeros((4, 2, 1)), "records": "null", "drawn_together": 4},
        {"codes": np.zeros((4, 2, 1)), "records": "[]", "drawn_together": [1, 2]},
        None,
    ],
    ids=["numbers", "object", "too few codes", "null", "two batch sizes", "one array"],
)
def test_tokens_in_a_broken_file_are_ignored(tmp_path, content):
    partial = PartialShard(tmp_path, IDENTITY, None)
    (tmp_path / "tokens").mkdir()
    with (tmp_path / "tokens/000000-000004.npz").open("wb") as file:
        np.save(file, np.zeros(3)) if content is None else np.savez(file, **content)
    assert partial.read_tokens(PROMPTS) == {}


def test_a_history_that_cannot_be_read_is_one_error(tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(InputError, match=r"cannot read .*a\.jsonl: is a directory"):
        History(tmp_path / "a.jsonl").attempts()
    (tmp_path / "b.jsonl").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"b\.jsonl: not a history of attempts"):
        History(tmp_path / "b.jsonl").attempts()


class Blank(Painter):
    """Gives the same image for every prompt, as a model with a NaN in its weights does."""

    def __init__(self, flagged: bool = False) -> None:
        super().__init__()
        self.flagged = flagged

    def generate(self, prompts) -> Iterator[GeneratedImage]:
        for _ in prompts:
            yield GeneratedImage(np.full((16, 8, 3), 85, np.uint8), flagged=self.flagged)


def test_a_shard_whose_images_are_all_equal_fails_and_leaves_no_archive(tmp_path):
    with pytest.raises(InputError, match=r"a\.tar: all 10 images are equal, although their captions differ"):
        make(tmp_path, Blank())
    assert [path.name for path in tmp_path.iterdir()] == ["partial"]
    # One image, one caption for all, or what a safety checker replaced, may be equal.
    make(tmp_path / "one", Blank(), PROMPTS[:1])
    make(tmp_path / "alike", Blank(), [replace(prompt, caption="a dog") for prompt in PROMPTS])
    make(tmp_path / "flagged", Blank(flagged=True))


def test_one_image_that_differs_is_enough(tmp_path):
    class Nearly(Blank):
        def generate(self, prompts) -> Iterator[GeneratedImage]:
            for prompt in prompts:
                yield GeneratedImage(np.full((16, 8, 3), 85 + (prompt.row == 3), np.uint8))

    partial = PartialShard(tmp_path / "partial", IDENTITY, None)
    draw_shard(PROMPTS, partial, Nearly)
    make(tmp_path, Nearly())


def test_what_cannot_be_read_because_it_is_somebody_elses_is_not_said_to_be_removed(tmp_path, monkeypatch):
    make(tmp_path, Painter())
    (tmp_path / "history.jsonl").touch()
    opened = Path.open

    def refuse(path, *arguments, **options):
        if path.parent == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    for read in (lambda: list(read_archive(tmp_path / "a.tar")), History(tmp_path / "history.jsonl").attempts):
        with pytest.raises(InputError, match="you may not read this file, which belongs to .*; do not remove it"):
            read()
