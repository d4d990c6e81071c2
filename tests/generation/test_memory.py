"""Memory plans: every constant against bytes that are counted while the real code runs on meta tensors, at the published size."""

import weakref
from dataclasses import replace
from types import SimpleNamespace

import emudrift.runtime.torchvision_fix  # noqa: F401

import pytest
import torch
from conftest import ROOT
from test_cuda_graphs import published
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Emu3TextConfig, Emu3VQVAE
from transformers.models.emu3.configuration_emu3 import Emu3VQVAEConfig
from transformers.models.emu3.modeling_emu3 import Emu3TextModel

from emudrift.generation.emu3 import vq
from emudrift.generation.emu3.grid_engine import GridEngine
from emudrift.generation.emu3.language_model import LanguageModel
from emudrift.generation.emu3.memory import (
    GIB,
    PREFILL_ROWS,
    SPARE,
    Grid,
    ModelShape,
    answer_memory,
    even_batch,
    is_out_of_memory,
    plan_memory,
    scoring_bytes,
)

N_VISUAL, TOP_K, PROMPT = 32768, 2048, 64
SIZES = {512: 64, 720: 90}


class Counted(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive at once; what existed before does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function, types, given=(), named=None):
        for tensor in tree_leaves((given, named)):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage(), 0)
        result = function(*given, **(named or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage(), tensor.untyped_storage().nbytes())
        return result

    def _count(self, storage, size: int) -> None:
        name = storage._cdata
        if name in self.known:
            return
        self.known.add(name)
        self.alive += size
        self.peak = max(self.peak, self.alive)

        def freed() -> None:
            self.known.discard(name)
            self.alive -= size

        weakref.finalize(storage, freed)


@pytest.fixture(scope="module")
def language() -> LanguageModel:
    """Two layers of the published model's shape, in bfloat16, without memory."""
    config = Emu3TextConfig(num_hidden_layers=2)
    assert (config.hidden_size, config.num_key_value_heads, config.intermediate_size) == (4096, 8, 14336)
    with torch.device("meta"):
        return LanguageModel(Emu3TextModel(config).to(torch.bfloat16).eval())


def grid(side: int = 512, guided: bool = True) -> Grid:
    return Grid(SIZES[side], SIZES[side], guided, PROMPT, 256, TOP_K)


PUBLISHED = ModelShape(
    layers=32, hidden=4096, intermediate=14336, heads=32, kv_heads=8, head_dim=128, n_visual=N_VISUAL, itemsize=2
)


@pytest.mark.parametrize("side", SIZES)
def test_decoding_an_image_takes_what_is_planned(side):
    """The published VQ, one image: 10.4 kB per pixel, ten times what version 0.2 planned."""
    with torch.device("meta"):
        model = Emu3VQVAE(Emu3VQVAEConfig()).eval()
        codes = torch.zeros(1, SIZES[side], SIZES[side], dtype=torch.long)
    with torch.inference_mode(), Counted() as counted:
        vq.first_frame(model, codes)
    planned = plan_memory(PUBLISHED, grid(side), (side, side)).decoding
    assert 0.97 * planned < counted.peak <= planned


@pytest.mark.parametrize("side", SIZES)
def test_encoding_a_picture_takes_what_is_planned(side):
    """The published VQ sees a picture as four equal frames."""
    with torch.device("meta"):
        model = Emu3VQVAE(Emu3VQVAEConfig()).eval()
        pixels = torch.zeros(1, 3, side, side)
    with torch.inference_mode(), Counted() as counted:
        model.encode(pixels, torch.tensor([[side, side]]))
    planned = answer_memory(PUBLISHED, 4608, 20, 8192, side * side).decoding
    assert 0.97 * planned < counted.peak <= planned


def test_a_step_of_answers_takes_what_is_planned(language):
    vocabulary, rows, prompt, new = 184_622, 16, 4608, 20
    shape = language.shape(vocabulary)
    cache = language.new_cache(rows, prompt + new)
    tokens = torch.zeros(rows, 1, dtype=torch.long, device="meta")
    lengths = torch.zeros(rows, dtype=torch.long, device="meta")
    head = torch.empty(vocabulary, 4096, dtype=torch.bfloat16, device="meta")
    with torch.inference_mode(), Counted() as counted:
        hidden = language.step(tokens, lengths, cache, prompt + new)
        logits = torch.nn.functional.linear(hidden, head).float()
        logits.argmax(-1)
        logits.isfinite().all(-1)
    planned = rows * answer_memory(shape, prompt, new, 8192, 512 * 512).per_image - cache.nbytes
    assert 0.5 * planned < counted.peak <= planned


def test_a_prefill_takes_what_is_planned(language):
    shape = language.shape(N_VISUAL)
    cache = language.new_cache(2 * PREFILL_ROWS, 512)
    tokens = torch.zeros(2 * PREFILL_ROWS, PROMPT, dtype=torch.long, device="meta")
    lengths = torch.full((2 * PREFILL_ROWS,), PROMPT, device="meta")
    with torch.inference_mode(), Counted() as counted:
        language.prefill(tokens, lengths, cache)
    planned = plan_memory(shape, grid(), (512, 512)).prefill
    assert 0.8 * planned < counted.peak <= planned


def sampling_bytes(images: int, hidden: torch.Tensor, rows_per_image: int) -> int:
    """Peak of the engine's own sampling, beside its input."""
    recipe = SimpleNamespace(guidance_scale=3.0, top_k=TOP_K)
    head = torch.empty(N_VISUAL, 4096, dtype=torch.bfloat16, device="meta")
    engine = SimpleNamespace(head=head, rows_per_image=rows_per_image, recipe=recipe)
    uniforms = torch.empty(images, dtype=torch.float64, device="meta")
    with torch.inference_mode(), Counted() as counted:
        GridEngine.sample(engine, hidden, uniforms)
    return counted.peak


def test_a_step_and_sampling_take_what_is_planned(language):
    """The longest step, at the end of the last line, for a batch of 48 with guidance."""
    images, shape = 48, language.shape(N_VISUAL)
    cache = language.new_cache(2 * images, grid().capacity)
    tokens = torch.zeros(2 * images, 2, dtype=torch.long, device="meta")
    lengths = torch.zeros(2 * images, dtype=torch.long, device="meta")
    with torch.inference_mode(), Counted() as step:
        hidden = language.step(tokens, lengths, cache, grid().capacity)
    scoring = sampling_bytes(images, hidden, 2)
    scored = images * scoring_bytes(shape, grid())
    # Scoring twice: in the memory of CUDA graphs, and outside for a batch's first token.
    stepped = images * plan_memory(shape, grid(), (512, 512)).per_image - cache.nbytes - 2 * scored
    assert 0.95 * scored < scoring <= scored
    assert 0.9 * stepped < step.peak <= stepped


def test_unguided_sampling_takes_what_is_planned():
    counted = sampling_bytes(48, torch.empty(48, 4096, dtype=torch.bfloat16, device="meta"), 1)
    planned = 48 * scoring_bytes(PUBLISHED, grid(guided=False))
    assert 0.9 * planned < counted <= planned


@pytest.mark.parametrize("images", [1, 48])
def test_a_whole_batch_stays_within_its_plan(images):
    """From prompts to tokens, with all that lives at the same time; two layers and a small image, whose cache hides nothing."""
    engine = published(2, "meta", torch.bfloat16, "sdpa")
    with Counted() as counted:
        engine.codes(["x" * PROMPT] * images, list(range(images)))
    plan = engine.memory(PROMPT)
    planned = plan.peak(images) - plan.decoding - SPARE
    prefilled = min(2 * images, PREFILL_ROWS) / PREFILL_ROWS * plan.prefill
    assert 0.8 * prefilled < counted.peak <= planned


def test_the_cache_of_an_image_is_the_published_models():
    """FACTS of the 8B model: 128 KiB per token, 1.10 GB per 512 x 512 image with guidance, 2.16 GB at 720 x 720."""
    assert PUBLISHED.bytes_per_token == 128 * 1024
    for side, expected in ((512, 1.10e9), (720, 2.16e9)):
        exact = replace(grid(side), kv_bucket=1)
        assert plan_memory(PUBLISHED, exact, (side, side)).per_image == pytest.approx(expected, rel=0.025)


# 16 bit, and the VQ's 0.27 billion parameters in float32.
WEIGHTS = 8.76e9 * 2 + 0.27e9 * 2
DEVICES = {"A100 40 GB": 39.4 * GIB, "A100 80 GB": 79.1 * GIB, "H200 141 GB": 139.8 * GIB}


def test_the_documented_plans_are_those_of_the_code():
    """The table of docs/engine.md: images per batch, planned bytes, and 40 GB suffice for 720 x 720."""
    lines = ["| GPU | size | guidance | images that fit | cache and step per image | decoding | batch for shards of 500 |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, total in DEVICES.items():
        for side in SIZES:
            for guided in (False, True):
                plan, guidance = plan_memory(PUBLISHED, grid(side, guided), (side, side)), "on" if guided else "off"
                fits = plan.images(total - WEIGHTS)
                assert WEIGHTS + plan.peak(fits) <= total
                lines.append(f"| {name} | {side} x {side} | {guidance} | {fits} | {plan.per_image / 1e9:.2f} GB | "
                             f"{plan.decoding / 1e9:.1f} GB | {even_batch(fits, 500)} |")  # fmt: skip
    table = "\n".join(lines)
    assert table in (ROOT / "docs/engine.md").read_text(), f"docs/engine.md should contain:\n{table}"


def test_batches_are_as_large_as_memory_takes_and_split_a_shard_evenly():
    plan = plan_memory(PUBLISHED, grid(), (512, 512))
    assert plan.images(plan.reserved + 97.9 * plan.per_image) == 97
    assert plan.images(plan.reserved - 1) == 1
    assert plan.images(1e15) == 256
    assert plan.peak(97) == plan.reserved + 97 * plan.per_image
    assert plan.reserved == SPARE + plan.decoding + plan.prefill
    assert [even_batch(fits, shard) for fits, shard in ((97, 500), (256, 500), (1, 500), (256, 200))] == [
        84,
        250,
        1,
        200,
    ]


def failed_capture() -> RuntimeError:
    """How torch ends a capture in which an allocation failed: with an error about the capture, raised while handling that one."""
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (failed_capture(), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, memory):
    assert is_out_of_memory(error) == memory
