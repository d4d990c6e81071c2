"""The program of a GPU on a CPU: CUDA's graphs and streams are replaced by what is as strict, and nothing else."""

import threading
from pathlib import Path
from types import SimpleNamespace

import emudrift.runtime.torchvision_fix  # noqa: F401

import numpy as np
import pytest
import torch
from cuda_stand_in import CUDA, NotCapturable, StandIn
from test_emu3 import CAPTIONS, new_generator
from torch.nn.functional import scaled_dot_product_attention
from transformers import Emu3TextConfig
from transformers.models.emu3.modeling_emu3 import Emu3TextModel

from emudrift.data.prompts import Prompt
from emudrift.generation.archives import write_archive
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.emu3 import attention, cuda_graphs, vq
from emudrift.generation.emu3.cuda_graphs import Graphs
from emudrift.generation.emu3.generator import Emu3Generator
from emudrift.generation.emu3.grid_engine import GridEngine
from emudrift.generation.emu3.language_model import LanguageModel
from emudrift.generation.interface import Batching
from emudrift.generation.shards import Identity, PartialShard

PROMPTS = [Prompt(i, f"{i:012d}", i, "", 64, 64, CAPTIONS[i], 1000 + i) for i in range(3)]
SIZE = {"width": 40, "height": 24, "engine": "grid"}  # Three lines of five tokens.
IDENTITY = Identity("0" * 12, "1" * 64)


@pytest.fixture
def stand_in(monkeypatch) -> StandIn:
    return StandIn(monkeypatch)


def masked_varlen(query, keys, values, starts, key_starts, n, capacity, used):
    """The variable-length kernel by a mask; unlike the one of test_attention.py it asks the device for nothing."""
    rows, (heads, dim) = len(used), query.shape[1:]
    q = query.view(rows, n, heads, dim).transpose(1, 2)
    k, v = (each.view(rows, capacity, -1, dim).transpose(1, 2) for each in (keys, values))
    last = used[:, None] - n + torch.arange(n)
    mask = torch.arange(capacity) <= last[:, :, None]
    attended = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None], enable_gqa=True)
    return attended.transpose(1, 2).reshape(rows * n, heads, dim)


# --- the whole program ---


def pack(folder: Path, generator: Emu3Generator) -> bytes:
    """From prompts to an archive, in batches of two, the last of which is filled up."""
    generator.batching = Batching(2, 40, generator.batching.attention)
    if isinstance(generator.engine, GridEngine):
        generator.engine.kv_bucket = 8
    partial = PartialShard(folder / "partial", IDENTITY, None)
    draw_shard(PROMPTS, partial, lambda: generator)
    write_archive(folder / "a.tar", PROMPTS, partial)
    return (folder / "a.tar").read_bytes()


@pytest.mark.parametrize(("dtype", "kernel"), [("float32", "sdpa"), ("bfloat16", "sdpa"), ("bfloat16", "flash")])
def test_a_shard_by_graphs_with_pixels_made_meanwhile_has_the_same_bytes(tmp_path, monkeypatch, dtype, kernel):
    """Prefill, graphs, sampling, decoding in another thread and packing, against the same without graph and thread."""
    monkeypatch.setattr(attention, "varlen", masked_varlen)
    settings = SIZE | {"dtype": dtype, "attention": kernel}
    monkeypatch.setattr(Emu3Generator, "fills", True)
    plain = pack(tmp_path / "plain", new_generator(**settings))
    stand_in = StandIn(monkeypatch)
    monkeypatch.setattr(Emu3Generator, "overlaps", True)
    generator = new_generator(**settings)
    decoding = cuda_graphs.decoding_stream(generator.weights.device)
    assert stand_in.waits == [(decoding, stand_in.main)], "images may be decoded before the weights are there"
    assert pack(tmp_path / "graphs", generator) == plain
    # One or two tokens a step, from 41 to 56 positions in buckets of eight; flash needs none.
    steps = [
        (2 if place % 5 == 0 else 1, 1 if kernel == "flash" else -(-(40 + place + place // 5) // 8))
        for place in range(1, 15)
    ]
    assert len(stand_in.graphs) == len(set(steps))


def test_after_its_graphs_are_captured_a_step_runs_no_other_operation(stand_in, monkeypatch):
    generator = new_generator(**SIZE)
    generator.batching = Batching(2, 40, "sdpa")
    first = generator.codes(PROMPTS[:2])
    captured = len(stand_in.graphs)
    batch = generator.engine._batch
    monkeypatch.setattr(batch, "_step", lambda *given: pytest.fail("a step was run by Python"))
    np.testing.assert_array_equal(generator.codes(PROMPTS[:2]), first)
    assert generator.engine._batch is batch
    assert len(stand_in.graphs) == captured


@pytest.mark.parametrize(
    ("capturing", "error"),
    [
        (True, torch.OutOfMemoryError("CUDA out of memory")),
        (False, RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")),
    ],
)
def test_memory_that_runs_out_in_a_step_halves_the_batch(stand_in, monkeypatch, capturing, error):
    """Also where CUDA reports an error of the capture instead, and where cuBLAS finds no workspace."""
    generator = new_generator(**SIZE)
    generator.batching = Batching(1, 40, "sdpa")
    expected = generator.codes(PROMPTS)
    generator.batching = Batching(3, 40, "sdpa")
    step, graphs = LanguageModel.step, len(stand_in.graphs)

    def hungry(self, tokens, *given):
        if len(tokens) > 4 and stand_in.capturing == capturing:
            raise error
        return step(self, tokens, *given)

    monkeypatch.setattr(LanguageModel, "step", hungry)
    np.testing.assert_array_equal(generator.codes(PROMPTS), expected)
    assert generator.effective_batch_size == 2
    assert len(stand_in.graphs) > graphs


# --- what the stand-in refuses ---


def captured(function, *counters) -> Graphs:
    graphs = Graphs(CUDA, counters)
    graphs.run("a", function)
    return graphs


MASK = torch.tensor([True, False])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[0].item(),
        lambda x: x.nonzero(),
        lambda x: x[MASK],
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: bool(x[0] > 0),
        lambda x: x + torch.tensor([1.0, 2.0]),
    ],
)
def test_what_waits_for_the_device_cannot_be_captured(stand_in, function):
    x = torch.ones(2)
    with pytest.raises(NotCapturable, match="wait"):
        captured(lambda: function(x))


def test_what_is_captured_does_not_run_is_repeated_on_the_same_memory_and_leaves_nothing(stand_in):
    counter, kept, left = torch.zeros(2), torch.zeros(2), []

    def step() -> None:
        counter.add_(1)
        doubled = counter * 2
        left.append(doubled)
        kept.copy_(doubled)

    graphs = captured(step, counter)
    assert (counter.tolist(), kept.tolist()) == ([1, 1], [2, 2])
    assert left[-1].isnan().all(), "memory of the pool is read outside its graph"
    graphs.run("a", step)
    assert (counter.tolist(), kept.tolist()) == ([2, 2], [4, 4])
    assert len(left) == 2, "a replay runs no Python"


# --- what is asked of CUDA, in order ---


class Recorder:
    """Stands in for CUDA's graphs and streams: notes what is asked of them, in order."""

    def __init__(self, monkeypatch) -> None:
        self.history = history = []

        class Stream:
            def __init__(self, name: str) -> None:
                self.name = name

            def wait_stream(self, other: "Stream") -> None:
                history.append(f"{self.name} waits for {other.name}")

        class Within:
            def __init__(self, what: str) -> None:
                self.what = what

            def __enter__(self) -> None:
                history.append(f"begin {self.what}")

            def __exit__(self, *given: object) -> None:
                history.append(f"end {self.what}")

        class Graph:
            def replay(self) -> None:
                history.append("replay")

        current = Stream("main")
        stand_ins = {
            "Stream": lambda device: Stream("side"),
            "stream": lambda stream: Within(stream.name),
            "current_stream": lambda device: current,
            "CUDAGraph": Graph,
            "graph": lambda graph, pool, capture_error_mode: Within(f"capture in {pool}"),
            "graph_pool_handle": lambda: "the pool",
        }
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        cuda_graphs.side_stream.cache_clear()


def test_graphs_share_one_pool_and_the_processes_one_stream_waits_both_ways(monkeypatch):
    recorder = Recorder(monkeypatch)
    graphs = Graphs(torch.device("cuda"), [torch.zeros(1)])
    for key in ("a", "a", "b"):
        graphs.run(key, lambda: recorder.history.append("call"))
    record = [
        "side waits for main", "begin side", "call", "end side", "main waits for side",
        "begin capture in the pool", "call", "end capture in the pool",
    ]  # fmt: skip
    assert recorder.history == [*record, "replay", "replay", *record, "replay"]
    assert Graphs(torch.device("cuda"), []).side is graphs.side
    cuda_graphs.side_stream.cache_clear()


# --- one thread at a time ---


def test_no_image_is_decoded_while_a_graph_is_captured(monkeypatch):
    entered, model = threading.Event(), new_generator().weights.model.model.vqmodel
    first_frame = vq.first_frame
    monkeypatch.setattr(vq, "first_frame", lambda *given: entered.set() or first_frame(*given))
    thread = threading.Thread(target=vq.decode_codes, args=(model, torch.zeros(1, 8, 8, dtype=torch.long)))
    with cuda_graphs.capturing:
        thread.start()
        assert not entered.wait(0.1)
    thread.join()
    assert entered.is_set()


def test_the_cache_is_not_taken_from_a_batch_that_is_being_sampled(monkeypatch):
    """Memory runs out while pixels are made in another thread: the cache is freed between two batches."""
    generator = new_generator(**SIZE)
    tokens = generator.codes(PROMPTS[:1])
    expected, decode, codes = generator.decode(tokens), vq.decode_codes, generator.engine.codes
    sampling, failed, released = threading.Event(), threading.Event(), []

    def hungry(*given):
        if generator.engine._batch is not None:
            failed.set()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(*given)

    def slow(*given):
        sampling.set()
        assert failed.wait(20)
        assert not released
        found = codes(*given)
        assert not released
        return found

    release = generator.engine.release
    monkeypatch.setattr(vq, "decode_codes", hungry)
    monkeypatch.setattr(generator.engine, "codes", slow)
    monkeypatch.setattr(generator.engine, "release", lambda: released.append(1) or release())
    images = []

    def decodes() -> None:
        assert sampling.wait(20)
        images.append(generator.decode(tokens))

    thread = threading.Thread(target=decodes)
    thread.start()
    np.testing.assert_array_equal(generator.codes(PROMPTS[:1]), tokens)
    thread.join()
    np.testing.assert_array_equal(images[0], expected)
    assert released == [1]


def test_pixels_are_read_when_their_copy_is_finished(monkeypatch):
    """On a GPU: the copy to pinned memory is only started, and the event that follows it is waited for."""
    pixels, history = torch.full((1, 2, 2, 3), 7, dtype=torch.uint8), []

    class OnGpu:
        shape, dtype, device = pixels.shape, pixels.dtype, CUDA

    class Pinned:
        def copy_(self, other, non_blocking):
            assert non_blocking
            history.append("copy")

        def clone(self):
            return pixels.clone() if history == ["copy", "record", "wait"] else torch.zeros_like(pixels)

    class Event:
        def __init__(self, blocking):
            assert blocking, "waiting would occupy a core"

        def record(self):
            history.append("record")

        def synchronize(self):
            history.append("wait")

    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: Pinned())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    assert torch.equal(vq._started_copy(OnGpu())(), pixels)
    assert vq._started_copy(pixels)() is not None


# --- the published model's shape ---


def published(layers: int, device: str, dtype: torch.dtype, kernel: str) -> GridEngine:
    """The grid engine over the published model's shape, with fewer layers and a smaller vocabulary of text."""
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = Emu3TextConfig(num_hidden_layers=layers, vocab_size=33_000, **special)
    torch.manual_seed(0)
    with torch.device(device):
        text = Emu3TextModel(config).to(dtype).eval()
        head = SimpleNamespace(weight=torch.randn(33_000, 4096, dtype=dtype))
    ids = SimpleNamespace(first_visual=200, n_visual=32_768, eol=5, pad=0)

    def prompts(lengths: list[int]) -> dict[str, torch.Tensor]:
        whole = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return {"input_ids": torch.arange(1, max(lengths) + 1).expand(whole.shape), "attention_mask": whole}

    recipe = SimpleNamespace(
        h=2, w=3, width=24, height=16, guidance_scale=3.0, top_k=2048, structure=ids, device=torch.device(device),
        positive=lambda captions: prompts([len(each) for each in captions]), negative=lambda n: prompts([4] * n),
    )  # fmt: skip
    model = SimpleNamespace(lm_head=head)
    return GridEngine(model, LanguageModel(text, kernel), recipe, kv_bucket=8)


@pytest.mark.parametrize("kernel", ["sdpa", "flash"])
def test_the_published_shape_is_captured_without_waiting_for_the_device(stand_in, kernel):
    """Without memory: everything that needs a value fails, and everything that mixes the host's tensors with the device's."""
    engine = published(2, "meta", torch.bfloat16, kernel)
    codes = engine.codes(["a big caption", "another"], [1, 2])
    assert (codes.shape, codes.device.type) == ((2, 2, 3), "meta")
    assert len(stand_in.graphs) == (2 if kernel == "flash" else 3)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["sdpa", "flash"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_published_shape_by_graphs_gives_the_same_tokens(monkeypatch, dtype, kernel):
    monkeypatch.setattr(attention, "varlen", masked_varlen)
    given = ["a big caption", "another"], [1, 2]
    engine = published(2, "cpu", dtype, kernel)
    plain = engine.codes(*given)
    StandIn(monkeypatch)
    engine.release()
    assert torch.equal(engine.codes(*given), plain)
    assert len(plain.unique()) > 6
