"""The findings of gpu_check.py: each a function of a `Bench` to figures for JSON; `wrong` names what the engine did wrong."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import random_emu3
import torch
from measuring import clock, drawn_to_png, graphs_of, roofline, step_bytes
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from emudrift.generation.emu3 import vq
from emudrift.generation.emu3.generate_engine import ReferenceEngine
from emudrift.generation.emu3.generator import Emu3Generator, Emu3Weights
from emudrift.generation.emu3.grid_engine import GridEngine, _Batch
from emudrift.generation.interface import Batching

LENGTH = 64
"""Tokens that prompts are padded to."""


@dataclass
class Bench:
    """What the findings share.

    Attributes:
        weights: the random model.
        small: whether it is the rehearsal's.
        bandwidth: bytes per second of a large copy.
        left: seconds until no more finding should begin.
        image_seconds: (attention, batch) to seconds for a batch's tokens, from `steps`.
    """

    weights: random_emu3.RandomWeights
    small: bool
    bandwidth: float
    left: Callable[[], float]
    image_seconds: dict[tuple[str, int], float] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.weights.device

    @property
    def side(self) -> int:
        return 4 if self.small else 64

    @property
    def batches(self) -> tuple[int, ...]:
        return (2, 3) if self.small else (24, 48, 96)

    @property
    def attentions(self) -> tuple[str, ...]:
        return ("sdpa", "flash") if self.weights.flash_fault is None else ("sdpa",)

    def peak_gb(self) -> float:
        return round(torch.cuda.max_memory_allocated() / 1e9, 2) if self.device.type == "cuda" else 0.0

    def clear(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def kernels(bench: Bench) -> dict[str, Any]:
    """Which kernels a step really launches. To be compared with what bench/roofline.py counts."""
    found: dict[str, Any] = {}
    gpu = bench.device.type == "cuda"
    for attention in bench.attentions:
        engine = bench.weights.engine(bench.side, attention, prompt_length=LENGTH)
        batch, filled = _Batch(engine, bench.batches[0]), engine.capacity // 2
        with torch.inference_mode():
            _place(batch, filled)
            batch._step(1, engine._kv_length(filled))
            _place(batch, filled)
            clock(bench.device)
            with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as profiler:
                batch._step(1, engine._kv_length(filled))
                clock(bench.device)
        rows = [
            (row.key, row.count, row.device_time_total if gpu else row.cpu_time_total)
            for row in profiler.key_averages()
        ]
        rows.sort(key=lambda row: -row[2])
        found[attention] = {
            "launches": sum(count for _, count, _ in rows),
            "milliseconds": round(sum(time for _, _, time in rows) / 1e3, 3),
            "longest": [[name[:60], count, round(time / 1e3, 3)] for name, count, time in rows[:8]],
        }
        del engine, batch
        bench.clear()
    return found


def steps(bench: Bench) -> dict[str, Any]:
    """Milliseconds per step at the cache's start, middle and end as CUDA graphs, and whole images by Simpson's rule."""
    found = {}
    for images in bench.batches:
        for attention in bench.attentions:
            bench.clear()
            try:
                found[f"{attention} {images}"] = _steps(bench, attention, images)
            except torch.OutOfMemoryError as error:
                found[f"{attention} {images}"] = {"out_of_memory": str(error)[:120]}
    return found


@torch.inference_mode()
def _steps(bench: Bench, attention: str, images: int) -> dict[str, Any]:
    engine = bench.weights.engine(bench.side, attention, prompt_length=LENGTH)
    batch, first, last = _Batch(engine, images), LENGTH + 2, engine.capacity - 1
    milliseconds, required, capture = [], [], 0.0
    for filled in (first, (first + last) // 2, last):
        start, kv_length = clock(bench.device), engine._kv_length(filled)
        _place(batch, filled)
        batch.step(1, kv_length)
        capture = max(capture, clock(bench.device) - start)
        seconds = []
        for _ in range(3 if bench.small else 12):
            _place(batch, filled)
            start = clock(bench.device)
            batch.step(1, kv_length)
            seconds.append(clock(bench.device) - start)
        milliseconds.append(1e3 * sorted(seconds)[len(seconds) // 2])
        required.append(1e3 * step_bytes(engine, images, filled) / bench.bandwidth)
    tokens = bench.side**2
    whole, least = (tokens * (at[0] + 4 * at[1] + at[2]) / 6 / 1e3 for at in (milliseconds, required))
    bench.image_seconds[attention, images] = whole
    return {
        "milliseconds": [round(each, 3) for each in milliseconds],
        "fraction_of_roofline": [round(must / does, 3) for must, does in zip(required, milliseconds, strict=True)],
        "images_per_hour_tokens_alone": round(3600 * images / whole),
        "fraction_of_roofline_tokens_alone": round(least / whole, 3),
        "capture_seconds": round(capture, 2),
        "peak_gb": bench.peak_gb(),
    }


def _place(batch: _Batch, filled: int) -> None:
    """As before the step that fills the cache up to `filled` positions."""
    batch.cache_lengths.fill_(filled - 1)
    batch.position.zero_()


def pixels(bench: Bench) -> dict[str, Any]:
    """Decoding: seconds per image in float32 and TF32, the colour values that differ, memory beside what is planned."""
    found = {}
    decoder = bench.weights.model.model.vqmodel
    for side in (4,) if bench.small else (64, 90):
        codes = torch.randint(0, decoder.config.codebook_size, (3, side, side))
        bench.clear()
        before, shots, seconds = bench.peak_gb(), {}, {}
        for tf32 in (False, True):
            vq.decode_codes(decoder, codes[:1], tf32)
            start = clock(bench.device)
            shots[tf32] = vq.decode_codes(decoder, codes, tf32)
            seconds[tf32] = (clock(bench.device) - start) / len(codes)
        difference = (shots[False].int() - shots[True].int()).abs()
        plan = bench.weights.engine(side, "sdpa").memory(LENGTH)
        found[f"{8 * side} x {8 * side}"] = {
            "seconds_float32": round(seconds[False], 4),
            "seconds_tf32": round(seconds[True], 4),
            "tf32_values_changed": round(float((difference > 0).float().mean()), 5),
            "tf32_largest_change": int(difference.max()),
            "peak_gb": round(bench.peak_gb() - before, 2),
            "planned_gb": round(plan.decoding / 1e9, 2),
        }
    return found


def documented(bench: Bench) -> dict[str, Any]:
    """transformers' way at the published study's batch: one line of the grid after a short prompt and after a long one.

    Its cost per token grows linearly with the context, so an image costs its tokens times the cost at half its length.
    """
    images, words = (2, 20) if bench.small else (random_emu3.STUDY_BATCH, 2000)
    model, per_token, contexts = bench.weights.model, [], []
    captions = random_emu3.new_captions(images)
    for more in (0, words):
        recipe = random_emu3.new_recipe(model, bench.side, 1, top_k=2048)
        recipe.negative_prompt += " red" * more
        engine, long = ReferenceEngine(model, recipe), [caption + " red" * more for caption in captions]
        contexts.append(recipe.positive(long)["input_ids"].shape[1])
        start = clock(bench.device)
        engine.codes(long, list(range(images)))
        whole = clock(bench.device) - start
        with torch.inference_mode():  # The prompts alone, once for each half of guidance.
            start = clock(bench.device)
            model(**recipe.positive(long), logits_to_keep=1)
            model(**recipe.negative(images), logits_to_keep=1)
            prompts = clock(bench.device) - start
        per_token.append((whole - prompts) / recipe.new_tokens)
        bench.clear()
    tokens = bench.side * (bench.side + 1) + 3
    slope = (per_token[1] - per_token[0]) / (contexts[1] - contexts[0])
    seconds = tokens * (per_token[0] + slope * tokens / 2)
    best = max((images / taken for (_, images), taken in bench.image_seconds.items()), default=0.0)
    return {
        "batch": images,
        "contexts": contexts,
        "seconds_per_token": [round(each, 5) for each in per_token],
        "images_per_hour": round(3600 * images / seconds, 2),
        "engine_tokens_alone_over_documented": round(best * seconds / images, 1),
    }


def tokens(bench: Bench) -> dict[str, Any]:
    """First differing token of sdpa, flash and transformers' loop; tokens must not depend on order, neighbours or a resume."""
    side, n = (4, 2) if bench.small else (12, 8)
    prompts, found, wrong = random_emu3.new_prompts(n, side), {}, []
    for top_k in (1, 2048):
        codes, figures = {}, {}
        for attention in bench.attentions:
            generator = bench.weights.generator(side, Batching(n, LENGTH, attention), top_k)
            codes[attention] = generator.codes(prompts)
            same = {
                "same_twice": (generator.codes(prompts), codes[attention]),
                "same_in_another_order": (generator.codes(prompts[::-1])[::-1], codes[attention]),
                "same_with_other_neighbours": (generator.codes(prompts[n // 2 :]), codes[attention][n // 2 :]),
            }
            figures[attention] = {name: bool((one == other).all()) for name, (one, other) in same.items()}
            wrong += [
                f"{attention}, top_k {top_k}: not {name}" for name, holds in figures[attention].items() if not holds
            ]
        recipe = random_emu3.new_recipe(bench.weights.model, side, side, top_k)
        captions, seeds = [each.caption for each in prompts], [each.seed for each in prompts]
        codes["transformers"] = ReferenceEngine(bench.weights.model, recipe).codes(captions, seeds).cpu().numpy()
        names = list(codes)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                figures[f"{one} and {other} differ from token"] = _first_difference(codes[one], codes[other])
        found[f"top_k {top_k}"] = figures
    return found | {"tokens": side * side, "wrong": wrong}


def _first_difference(one: np.ndarray, other: np.ndarray) -> list[int]:
    """Of each image; -1 where there is none."""
    differ = (one != other).reshape(len(one), -1)
    return [int(np.flatnonzero(each)[0]) if each.any() else -1 for each in differ]


def memory(bench: Bench) -> dict[str, Any]:
    """Memory runs out on purpose: the batch must halve, and give the tokens of the smaller batch."""
    side, wanted = (4, 6) if bench.small else (16, 64)
    generator = bench.weights.generator(side, Batching(wanted, LENGTH, bench.attentions[-1]))
    prompts = random_emu3.new_prompts(wanted, side)
    bench.clear()
    assert isinstance(generator.engine, GridEngine)
    with _room_for(wanted // 3, generator.engine, bench.device):
        codes = generator.codes(prompts)
    drew = generator.effective_batch_size
    generator.engine.release()
    fewer = bench.weights.generator(side, Batching(drew, LENGTH, bench.attentions[-1]))
    same = bool((fewer.codes(prompts) == codes).all())
    wrong = [] if drew < wanted else ["memory did not run out"]
    wrong += [] if same else [f"tokens differ from those of a batch of {drew}"]
    return {"wanted": wanted, "effective_batch_size": drew, "tokens_of_the_smaller_batch": same, "wrong": wrong}


@contextlib.contextmanager
def _room_for(images: int, engine: GridEngine, device: torch.device) -> Iterator[None]:
    """Leaves memory for about so many images; on a CPU an allocation that fails is stood in for."""
    if device.type == "cpu":
        codes = engine.codes

        def limited(captions: list[str], seeds: list[int]) -> Tensor:
            if len(captions) > images:
                raise torch.OutOfMemoryError("stand-in")
            return codes(captions, seeds)

        engine.codes = limited  # type: ignore[method-assign]
        yield
        engine.codes = codes  # type: ignore[method-assign]
        return
    plan, total = engine.memory(LENGTH), torch.cuda.mem_get_info()[1]
    room = torch.cuda.memory_reserved() + plan.prefill + 0.5e9 + images * plan.per_image
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


class Killed(BaseException):
    """Ends a shard at once: what is queued is lost."""


def resume(bench: Bench) -> dict[str, Any]:
    """A shard of the miniature, ended in the middle and resumed; every file byte for byte as without that."""
    side = 4 if bench.small else 8
    settings = random_emu3.settings_of(side, side, 2048) | {"engine": "grid", "dtype": "bfloat16", "attention": "auto"}
    weights = Emu3Weights(settings | {"device": bench.device.type}, random_emu3.MINIATURE)
    settings["device"] = bench.device.type

    def generator() -> Emu3Generator:
        attention = "flash" if weights.flash_fault is None else "sdpa"
        return Emu3Generator(settings, weights, Batching(4, 48, attention))

    prompts, batches = random_emu3.new_prompts(10, side), []

    def killed_before_the_third() -> None:
        batches.append(1)
        if len(batches) == 3:
            raise Killed

    whole = drawn_to_png(generator(), prompts)
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(Killed):
            drawn_to_png(generator(), prompts, Path(folder), killed_before_the_third)
        kept = len(list(Path(folder).glob("[!.]*.json")))
        resumed = drawn_to_png(generator(), prompts, Path(folder))
    names = whole.files.keys() | resumed.files.keys()
    different = sorted(name for name in names if whole.files.get(name) != resumed.files.get(name))
    return {
        "files": len(whole.files),
        "images_kept": kept,
        "batches_resumed": len(resumed.sampling),
        "byte_identical": not different,
        "wrong": [f"{name} differs after a resume" for name in different[:3]],
    }


def whole(bench: Bench) -> dict[str, Any]:
    """From prompts to PNG files as a job does: `auto`'s batch, twice where there is time, the first decoded during the second."""
    bench.clear()
    generator = bench.weights.generator(bench.side, None)
    shard = 3 if bench.small else random_emu3.SHARD
    captions = random_emu3.new_captions(shard)
    generator.batching = chosen = generator.plan(captions, shard, None)
    batch, attention = chosen.batch_size, chosen.attention
    rates = [seconds / images for (name, images), seconds in bench.image_seconds.items() if name == attention]
    fits = int((bench.left() - 40) / (1.1 * min(rates))) if rates else 2 * batch
    batches = 2 if fits >= 2 * batch else 1
    if fits < batch:
        generator.batching = replace(chosen, batch_size=max(8, fits))
    images = batches * generator.batching.batch_size
    assert isinstance(generator.engine, GridEngine)
    plan, weights = generator.engine.memory(chosen.prompt_length), 0.0
    if bench.device.type == "cuda":
        weights = torch.cuda.memory_allocated() / 1e9
    drawn = drawn_to_png(generator, random_emu3.new_prompts(images, bench.side))
    required = roofline(generator.engine, generator.batching.batch_size, bench.bandwidth)
    return {
        "attention": attention,
        "cuda_graphs": graphs_of(generator.engine),
        "auto_batch": batch,
        "batch": generator.batching.batch_size,
        "effective_batch_size": generator.effective_batch_size,
        "batches": batches,
        "seconds": round(drawn.seconds, 2),
        "seconds_sampling": [round(each, 2) for each in drawn.sampling],
        "seconds_after_the_last_token": round(drawn.seconds - sum(drawn.sampling), 2),
        "images_per_hour_to_png": round(3600 * images / drawn.seconds, 1),
        "fraction_of_roofline_to_png": round(batches * required / drawn.seconds, 3),
        "images_per_hour_last_batch": round(3600 * images / batches / drawn.sampling[-1], 1),
        "fraction_of_roofline_last_batch": round(required / drawn.sampling[-1], 3),
        "peak_gb": bench.peak_gb(),
        "planned_gb": round(weights + plan.peak(generator.batching.batch_size) / 1e9, 2),
        "different_codes": len(np.unique(drawn.codes)),
        "files": len(drawn.files),
    }


def varlen_on_cpu(
    query: Tensor, keys: Tensor, values: Tensor, starts: Tensor, key_starts: Tensor, n: int, capacity: int, used: Tensor
) -> Tensor:
    """What torch's kernel is documented to compute, in float32; for the rehearsal."""
    rows, kv_heads = len(used), keys.shape[1]
    q = query.float().view(rows, n, kv_heads, -1, query.shape[-1])
    k, v = (each.float().view(rows, capacity, kv_heads, -1) for each in (keys, values))
    scores = torch.einsum("rnkgd,rckd->rkgnc", q, k) * q.shape[-1] ** -0.5
    last_seen = used[:, None] - n + torch.arange(n)
    scores.masked_fill_(torch.arange(capacity) > last_seen[:, None, None, :, None], -torch.inf)
    return torch.einsum("rkgnc,rckd->rnkgd", scores.softmax(-1), v).reshape(query.shape).to(query.dtype)
