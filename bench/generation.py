"""Speed-up of the grid engine over transformers' documented way of sampling Emu3.

Without arguments, on the CPU: an Emu3 with about 100 M random parameters, greedy decoding, guidance 3. The documented way is
`generate` with a prefix function and guidance as a second forward pass, with batches of one and eight; the engine uses a
batch of 32 and must produce the same tokens.

With --device cuda: random weights in the published model's architecture (8 B parameters, bfloat16), 512 x 512, guidance 3,
top_k 2048. The documented way uses the published study's batch of 20, and only the first lines of the grid, where its cache
is shortest, which is in its favour. The engine generates whole images with the largest batch that fits into memory.

The roofline is the memory traffic that a step requires: the weights, and the keys and values of all previous tokens, once;
at the bandwidth of a large copy measured in the same run. The last line of output is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from transformers import Emu3Config, Emu3ForConditionalGeneration
from transformers.utils import logging

from emudrift.generation.emu3.generate_engine import ReferenceEngine
from emudrift.generation.emu3.grid_engine import GridEngine
from emudrift.generation.emu3.language_model import LanguageModel
from emudrift.generation.emu3.memory import even_batch
from emudrift.generation.emu3.recipe import Recipe

MINIATURE = Path(__file__).resolve().parents[1] / "demo" / "models" / "base"
WORDS = [
    "a",
    "small",
    "red",
    "circle",
    "above",
    "a",
    "large",
    "blue",
    "square",
    "in",
    "a",
    "grey",
    "picture",
    "with",
    "words",
]
# The language models: 88 M parameters, and BAAI/Emu3-Gen's config.json.
SMALL = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 10,
    "num_attention_heads": 12,
    "head_dim": 64,
}
SMALL |= {"num_key_value_heads": 4, "max_position_embeddings": 4096}
LARGE = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
LARGE |= {"head_dim": 128, "num_key_value_heads": 8, "max_position_embeddings": 9216, "vocab_size": 184_622}
VISUAL_TOKENS = 32_768
STUDY_BATCH = 20
SHARD = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--attention", choices=["sdpa", "flash"], default="sdpa", help="flash: GPU only")
    parser.add_argument("--side", type=int, help="visual tokens per side; default 12 on the CPU, 64 on a GPU")
    parser.add_argument("--batch", type=int, help="batch size of the engine; default 32, or what fits into memory")
    parser.add_argument(
        "--lines", type=int, default=2, help="lines of the grid that the documented way generates on a GPU"
    )
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    figures = on_gpu(arguments) if arguments.device == "cuda" else on_cpu(arguments)
    print(json.dumps(figures))


def on_cpu(arguments: argparse.Namespace) -> dict[str, Any]:
    # With two threads on two busy cores, timings would depend on other processes.
    torch.set_num_threads(1)
    model = random_model(SMALL, 256, torch.device("cpu"), torch.float32)
    side, batch = arguments.side or 12, arguments.batch or 32
    recipe = new_recipe(model, side, side, top_k=1)
    print(f"{parameters(model) / 1e6:.0f} M parameters, {torch.get_num_threads()} threads")
    engine, reference = new_engine(model, recipe, "sdpa"), ReferenceEngine(model, recipe)
    captions = new_captions(batch)
    engine_seconds = batch8 = batch1 = float("inf")
    # Alternating, best of two each: the speed of a shared machine varies.
    for _ in range(2):
        drawn, seconds = measured("engine", batch, lambda: engine.codes(captions, list(range(batch))))
        engine_seconds = min(engine_seconds, seconds)
        eight, seconds = measured("documented, batch of 8", 8, lambda: documented(reference, captions[:8]))
        batch8 = min(batch8, seconds)
        one, seconds = measured("documented, batch of 1", 1, lambda: documented(reference, captions[:1]))
        batch1 = min(batch1, seconds)
    return {
        "ratio_vs_documented_batch8": round(batch8 / 8 / (engine_seconds / batch), 2),
        "ratio_vs_documented_batch1": round(batch1 / (engine_seconds / batch), 2),
        "tokens_identical": bool(torch.equal(drawn[:8], eight) and torch.equal(drawn[:1], one)),
        "engine_images_per_hour": round(3600 * batch / engine_seconds, 1),
        "engine_batch": batch,
        "fraction_of_roofline": round(roofline(engine, batch, bandwidth(model.device)) / engine_seconds, 3),
        "device": "cpu",
    }


def on_gpu(arguments: argparse.Namespace) -> dict[str, Any]:
    device = torch.device("cuda")
    model = random_model(LARGE, VISUAL_TOKENS, device, torch.bfloat16)
    side = arguments.side or 64
    recipe = new_recipe(model, side, side, top_k=2048)
    weights = torch.cuda.memory_allocated()
    print(f"{parameters(model) / 1e9:.2f} B parameters on {torch.cuda.get_device_name(device)}")
    reached = bandwidth(device)
    print(f"bandwidth of a large copy: {reached / 1e9:,.0f} GB/s")

    lines = min(arguments.lines, side)
    reference = ReferenceEngine(model, new_recipe(model, side, lines, top_k=2048))
    captions = new_captions(STUDY_BATCH)
    draw = lambda: reference.codes(captions, list(range(STUDY_BATCH)))  # noqa: E731
    _, first_lines = measured(f"documented, batch of {STUDY_BATCH}, {lines} of {side} lines", STUDY_BATCH, draw)
    reference_seconds = first_lines * side / lines
    torch.cuda.empty_cache()

    engine = new_engine(model, recipe, arguments.attention)
    engine.prompt_length = max(len(ids) for ids in recipe.positive(new_captions(64))["input_ids"])
    torch.cuda.empty_cache()
    plan = engine.memory(engine.prompt_length)
    batch = arguments.batch or even_batch(plan.images(torch.cuda.mem_get_info(device)[0]), SHARD)
    captions, seeds = new_captions(batch), list(range(batch))
    torch.cuda.reset_peak_memory_stats()
    measured("engine, including graph capture", batch, lambda: engine.codes(captions, seeds))
    drawn, seconds = measured("engine", batch, lambda: engine.codes(captions, seeds))
    turned = engine.codes(captions[::-1], seeds[::-1]).flip(0)
    return {
        "images_per_hour": round(3600 * batch / seconds, 1),
        "batch": batch,
        "reference_images_per_hour": round(3600 * STUDY_BATCH / reference_seconds, 2),
        "ratio_vs_reference": round(reference_seconds / STUDY_BATCH / (seconds / batch), 2),
        "fraction_of_roofline": round(roofline(engine, batch, reached) / seconds, 3),
        "bandwidth_gb_per_s": round(reached / 1e9),
        "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1),
        "planned_memory_gb": round((weights + batch * plan.per_image + plan.prefill) / 1e9, 1),
        "tokens_independent_of_neighbours": bool(torch.equal(drawn, turned)),
        "attention": arguments.attention,
        "device": torch.cuda.get_device_name(device),
    }


def random_model(
    shape: dict[str, int], visual: int, device: torch.device, dtype: torch.dtype
) -> Emu3ForConditionalGeneration:
    """The miniature's tokenizer and VQ with `visual` visual tokens, and a language model with random weights."""
    config = Emu3Config.from_pretrained(MINIATURE)
    names = config.vocabulary_map
    first = names["<|visual token 000000|>"]
    names |= {f"<|visual token {code:06d}|>": first + code for code in range(visual)}
    for name, value in ({"vocab_size": first + visual} | shape).items():
        setattr(config.text_config, name, value)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with device:
        model = Emu3ForConditionalGeneration(config).eval()
    torch.set_default_dtype(before)
    # Larger logits than at initialisation, so that greedy choices are not affected by rounding.
    model.lm_head.weight.data.normal_(std=0.2)
    return model


def new_recipe(model: Emu3ForConditionalGeneration, width: int, height: int, top_k: int) -> Recipe:
    settings = {"guidance_scale": 3.0, "top_k": top_k, "suffix": "", "negative_prompt": "x"}
    return Recipe(MINIATURE, model, settings | {"width": 8 * width, "height": 8 * height})


def new_engine(model: Emu3ForConditionalGeneration, recipe: Recipe, attention: str) -> GridEngine:
    return GridEngine(model, LanguageModel(model.model.text_model, attention), recipe)


def new_captions(n: int) -> list[str]:
    return [" ".join(WORDS[: 3 + i % 10]) + f" {i}" for i in range(n)]


def parameters(model: Emu3ForConditionalGeneration) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@torch.inference_mode()
def documented(reference: ReferenceEngine, captions: list[str]) -> torch.Tensor:
    """Emu3 as in transformers' documentation, greedy, without our sampler."""
    recipe = reference.recipe
    inputs, negative = recipe.positive(captions), recipe.negative(len(captions))
    length = inputs["input_ids"].shape[1]
    output = reference.model.generate(
        **inputs,
        do_sample=False,
        guidance_scale=recipe.guidance_scale,
        negative_prompt_ids=negative["input_ids"],
        negative_prompt_attention_mask=negative["attention_mask"],
        prefix_allowed_tokens_fn=reference.grid(length),
        max_new_tokens=recipe.new_tokens,
    )
    return reference.codes_of(output[:, length:])


def roofline(engine: GridEngine, batch: int, bytes_per_second: float) -> float:
    """Seconds for the required memory traffic alone: in each step the weights and the filled part of the cache, once."""
    text, recipe = engine.language.text, engine.recipe
    weights = sum(parameter.nbytes for parameter in text.layers.parameters()) + engine.head.nbytes
    steps, rows = recipe.h * recipe.w, batch * engine.rows_per_image
    filled = engine.prompt_length + (engine.capacity - engine.prompt_length) / 2
    return steps * (weights + rows * filled * engine.language.bytes_per_token) / bytes_per_second


def bandwidth(device: torch.device) -> float:
    """Memory bandwidth in bytes per second (reads and writes), the best of several large copies."""
    source = torch.ones(2**30 if device.type == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(8):
        start = clock(device)
        target.copy_(source)
        seconds.append(clock(device) - start)
    return 2 * source.nbytes / min(seconds)


def clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measured(name: str, images: int, draw: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """The tokens, and the seconds for sampling them."""
    start = time.perf_counter()
    tokens = draw().cpu()
    seconds = time.perf_counter() - start
    print(f"{name}: {images} images in {seconds:.1f} s, {seconds / images:.2f} s per image", flush=True)
    return tokens, seconds


if __name__ == "__main__":
    main()
