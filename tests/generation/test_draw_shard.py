"""Drawing with visual tokens: they are on the disk before anything is decoded, and what is there is never drawn again."""

import json
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from test_shards import IDENTITY, PROMPTS

from emudrift.errors import InputError
from emudrift.generation import draw_shard as module
from emudrift.generation.archives import write_archive
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.interface import Batching
from emudrift.generation.shards import Identity, PartialShard
from emudrift.runtime.jobs import Stopped


class Codes:
    """A token generator whose images can be computed from their tokens; remembers what it was asked for."""

    size = (8, 8)
    overlaps = False

    def __init__(self, batch_size: int = 4) -> None:
        self.batching, self.effective_batch_size = Batching(batch_size, 0), batch_size
        self.drawn: list[list[int]] = []
        self.decoded: list[int] = []

    def plan(self, captions, shard_size, batch_size):
        return self.batching

    def codes(self, prompts):
        self.drawn.append([prompt.row for prompt in prompts])
        return np.stack([np.random.default_rng(prompt.seed).integers(0, 256, (8, 8)) for prompt in prompts])

    def decode(self, codes):
        self.decoded.append(len(codes))
        return np.stack([codes, codes.swapaxes(1, 2), 255 - codes], -1).astype(np.uint8)

    def device(self) -> str:
        return "test"


def make(folder: Path, generator: Codes, identity: Identity = IDENTITY) -> bytes:
    partial = PartialShard(folder / "partial", identity, None)
    draw_shard(PROMPTS, partial, lambda: generator)
    write_archive(folder / "a.tar", PROMPTS, partial)
    return (folder / "a.tar").read_bytes()


@pytest.fixture
def undisturbed(tmp_path) -> bytes:
    generator = Codes()
    archive = make(tmp_path / "undisturbed", generator)
    assert generator.drawn == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    return archive


class DiesWhileDecoding(Codes):
    """Is killed, as by the kernel, when the tokens of its second batch were drawn and nothing of them decoded."""

    def decode(self, codes):
        if len(self.decoded) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decode(codes)


def test_tokens_are_on_the_disk_before_they_are_decoded(tmp_path, undisturbed):
    process = multiprocessing.get_context("spawn").Process(target=make, args=(tmp_path, DiesWhileDecoding()))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = PartialShard(tmp_path / "partial", IDENTITY, None).read_tokens(PROMPTS)
    assert list(kept) == [prompt.prompt_id for prompt in PROMPTS[:8]]
    assert make(tmp_path, again := Codes()) == undisturbed
    assert again.drawn == [[8, 9]], "tokens that were on the disk were drawn again"


def test_images_can_be_decoded_again_at_any_time(tmp_path, undisturbed, caplog):
    caplog.set_level("INFO")
    make(tmp_path, Codes())
    assert "tokens" not in caplog.text
    for path in (tmp_path / "partial").glob("*.png"):
        path.unlink()
    assert make(tmp_path, again := Codes()) == undisturbed
    assert again.drawn == []
    assert again.decoded == [4, 4, 2]
    assert caplog.messages == ["tokens of 10 images already exist and are only decoded"]


def test_only_images_that_are_not_drawn_count_as_decoded(tmp_path, undisturbed, caplog):
    """Of the first batch one image is missing, of the second two and the tokens, of the third nothing."""
    caplog.set_level("INFO")
    make(tmp_path, Codes())
    for row in (1, 4, 5):
        (tmp_path / "partial" / f"{PROMPTS[row].prompt_id}.png").unlink()
    (tmp_path / "partial" / "tokens" / "000004-000008.npz").unlink()
    assert make(tmp_path, again := Codes()) == undisturbed
    assert again.drawn == [[4, 5, 6, 7]]
    assert caplog.messages == ["tokens of 1 images already exist and are only decoded"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("fault", [Path.unlink, cut, flip, lambda path: path.write_bytes(b"")])
def test_broken_tokens_are_drawn_again(tmp_path, undisturbed, fault):
    make(tmp_path, Codes())
    (tmp_path / "partial" / f"{PROMPTS[5].prompt_id}.png").unlink()
    fault(tmp_path / "partial" / "tokens" / "000004-000008.npz")
    assert make(tmp_path, again := Codes()) == undisturbed
    assert again.drawn == [[4, 5, 6, 7]]


def test_tokens_of_other_settings_are_never_decoded(tmp_path):
    make(tmp_path, Codes())
    make(tmp_path, again := Codes(), Identity("ba9876543210", "d" * 64))
    assert len(again.drawn) == 3


def test_another_batch_size_uses_the_tokens_that_are_there(tmp_path, undisturbed):
    make(tmp_path, Codes())
    for row in (3, 4):
        (tmp_path / "partial" / f"{PROMPTS[row].prompt_id}.json").unlink()
    assert make(tmp_path, again := Codes(batch_size=5)) == undisturbed
    assert again.drawn == []


def test_how_many_were_drawn_together_survives_a_resume(tmp_path):
    partial = PartialShard(tmp_path / "partial", IDENTITY, None)
    first = Codes()
    first.effective_batch_size = 2
    draw_shard(PROMPTS[:4], partial, lambda: first)
    draw_shard(PROMPTS, partial, Codes)
    kept = partial.read_tokens(PROMPTS)
    assert [kept[prompt.prompt_id].effective_batch_size for prompt in PROMPTS] == [2] * 4 + [4] * 6


def test_the_next_batch_is_drawn_while_the_last_is_written(tmp_path, monkeypatch):
    """The writer of the first image waits until the second batch is asked for: in one thread that would never happen."""
    second_batch = threading.Event()

    class Signals(Codes):
        def codes(self, prompts):
            if self.drawn:
                second_batch.set()
            return super().codes(prompts)

    write = PartialShard.write

    def patient(self, prompt, image):
        assert second_batch.wait(20), "the generator waits for the disk"
        write(self, prompt, image)

    monkeypatch.setattr(PartialShard, "write", patient)
    written = []
    draw_shard(PROMPTS, PartialShard(tmp_path, IDENTITY, None), Signals, progress=written.append)
    assert sum(written) == len(PROMPTS)


def test_a_disk_that_fills_up_ends_the_work_with_its_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAITING", 0)

    def full(self, prompt, image):
        raise InputError("cannot write: no space left on device")

    monkeypatch.setattr(PartialShard, "write", full)
    generator = Codes()
    with pytest.raises(InputError, match="no space left"):
        draw_shard(PROMPTS, PartialShard(tmp_path, IDENTITY, None), lambda: generator)
    assert generator.drawn == [[0, 1, 2, 3]]


def test_a_sample_carries_its_tokens(tmp_path):
    make(tmp_path, Codes())
    partial = PartialShard(tmp_path / "partial", IDENTITY, None)
    members = partial.read(PROMPTS[2])
    assert set(members) == {".png", ".tokens.npy", ".json"}
    assert json.loads(members[".json"])["seed"] == PROMPTS[2].seed


def test_of_a_packed_shard_nothing_is_kept_but_its_archive(tmp_path):
    """Also of what killed attempts left half-written."""
    make(tmp_path, Codes())
    for litter in ("tokens/.tmp-0123-000000-000004.npz", ".tmp-0123-000000000001.png"):
        (tmp_path / "partial" / litter).write_bytes(b"half")
    PartialShard(tmp_path / "partial", IDENTITY, None).tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


# --- decoding while tokens are sampled ---


class Overlaps(Codes):
    """Decodes in another thread; a batch is sampled only once the decoder is at work on the one before."""

    overlaps = True

    def __init__(self) -> None:
        super().__init__()
        self.at_work, self.threads = threading.Event(), set[int]()

    def codes(self, prompts):
        if self.drawn:
            assert self.at_work.wait(20), "nothing is decoded while tokens are sampled"
            self.at_work.clear()
        return super().codes(prompts)

    def decode(self, codes):
        self.threads.add(threading.get_ident())
        self.at_work.set()
        return super().decode(codes)


def test_images_are_decoded_while_tokens_are_sampled_and_are_the_same(tmp_path, undisturbed):
    assert make(tmp_path, generator := Overlaps()) == undisturbed
    assert generator.decoded == [1] * 10
    assert len(generator.threads) == 1
    assert threading.get_ident() not in generator.threads


def test_what_goes_wrong_while_decoding_ends_its_own_shard(tmp_path, undisturbed):
    """The error is raised by the shard whose image it was, the last one's as well; its tokens are not sampled again."""

    class Breaks(Overlaps):
        def decode(self, codes):
            if len(self.decoded) == self.at:
                raise InputError("not enough device memory to decode")
            return super().decode(codes)

    for at in (5, 9):
        folder = tmp_path / str(at)
        generator = Breaks()
        generator.at = at
        with pytest.raises(InputError, match="not enough device memory to decode"):
            make(folder, generator)
        partial = PartialShard(folder / "partial", IDENTITY, None)
        assert partial.missing(PROMPTS) >= {prompt.prompt_id for prompt in PROMPTS[at:]}
        assert make(folder, again := Codes()) == undisturbed
        assert again.drawn == []


def test_a_job_that_is_asked_to_end_does_not_wait_for_what_is_not_decoded(tmp_path, undisturbed, monkeypatch):
    """The second image is decoded only once nothing is queued behind it any more."""
    finished = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(False, cancel_futures=cancel_futures)
            finished.set()
            super().shutdown(wait)

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)

    class Slow(Overlaps):
        def decode(self, codes):
            images = super().decode(codes)
            if len(self.decoded) == 2:
                assert finished.wait(20)
            return images

    asked = []

    def before_batch() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise Stopped("as by SIGTERM")

    partial, generator = PartialShard(tmp_path / "partial", IDENTITY, None), Slow()
    with pytest.raises(Stopped):
        draw_shard(PROMPTS, partial, lambda: generator, before_batch=before_batch)
    assert len(generator.decoded) < 4
    assert make(tmp_path, again := Codes()) == undisturbed
    assert again.drawn == [[4, 5, 6, 7], [8, 9]]
