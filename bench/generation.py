"""Speed of the grid engine, from prompts to PNG files, and its speed-up over transformers' documented way of sampling Emu3.

Without arguments, on the CPU: an Emu3 with about 100 M random parameters, greedy decoding, guidance 3. The documented way is
`generate` with a prefix function and guidance as a second forward pass, with batches of one and eight; the engine uses a
batch of 32 and must produce the same tokens. Seconds are of one thread's CPU time.

With --device cuda: random weights in the published model's architecture (8 B parameters, bfloat16), 512 x 512, guidance 3,
top_k 2048, and the VQ in float32. The documented way uses the published study's batch of 20, and only the first lines of the
grid, where its cache is shortest, which is in its favour. The engine generates two batches as large as `auto` makes them:
the second is sampled while the first is decoded, and the decoding of the second is waited for. bench/gpu measures more.

The roofline is the memory traffic that sampling requires: in each step the weights, and the keys and values of all previous
tokens, once; at the bandwidth of a large copy measured in the same run. The last line of output is JSON.
"""

import argparse
import json
from typing import Any

import torch
from measuring import bandwidth, drawn_to_png, graphs_of, measured, roofline
from random_emu3 import (
    LARGE,
    SHARD,
    SMALL,
    STUDY_BATCH,
    VISUAL_TOKENS,
    RandomWeights,
    new_captions,
    new_prompts,
    new_recipe,
    parameters,
    random_model,
)
from transformers.utils import logging

from emudrift.generation.emu3.generate_engine import ReferenceEngine
from emudrift.generation.interface import Batching


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--attention", choices=["auto", "sdpa", "flash"], default="auto", help="flash: GPU only")
    parser.add_argument("--side", type=int, help="visual tokens per side; default 12 on the CPU, 64 on a GPU")
    parser.add_argument("--batch", type=int, help="batch size of the engine; default 32, or what fits into memory")
    parser.add_argument(
        "--lines", type=int, default=2, help="lines of the grid that the documented way generates on a GPU"
    )
    parser.add_argument("--tf32", action="store_true", help="decode with TF32 on a GPU")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    figures = on_gpu(arguments) if arguments.device == "cuda" else on_cpu(arguments)
    print(json.dumps(figures))


def on_cpu(arguments: argparse.Namespace) -> dict[str, Any]:
    # With two threads on two busy cores, timings would depend on other processes.
    torch.set_num_threads(1)
    model = random_model(SMALL, 256, torch.device("cpu"), torch.float32)
    side, batch = arguments.side or 12, arguments.batch or 32
    print(f"{parameters(model) / 1e6:.0f} M parameters, {torch.get_num_threads()} threads")
    generator = RandomWeights(model).generator(side, Batching(batch, 0, "sdpa"), top_k=1)
    prompts, reference = new_prompts(batch, side), ReferenceEngine(model, new_recipe(model, side, side, top_k=1))
    captions = [prompt.caption for prompt in prompts]
    tokens_seconds = png_seconds = batch8 = batch1 = float("inf")
    # Alternating, best of two each: the speed of a shared machine varies.
    for _ in range(2):
        drawn = drawn_to_png(generator, prompts)
        tokens_seconds, png_seconds = min(tokens_seconds, drawn.sampling[0]), min(png_seconds, drawn.seconds)
        print(f"engine: {batch} images in {drawn.seconds:.1f} s, tokens {drawn.sampling[0]:.1f} s", flush=True)
        eight, seconds = measured("documented, batch of 8", 8, lambda: documented(reference, captions[:8]))
        batch8 = min(batch8, seconds)
        one, seconds = measured("documented, batch of 1", 1, lambda: documented(reference, captions[:1]))
        batch1 = min(batch1, seconds)
    tokens = torch.from_numpy(drawn.codes.astype("int64"))
    required = roofline(generator.engine, batch, bandwidth(model.device))
    return {
        "ratio_vs_documented_batch8": round(batch8 / 8 / (tokens_seconds / batch), 2),
        "ratio_vs_documented_batch1": round(batch1 / (tokens_seconds / batch), 2),
        "tokens_identical": bool(torch.equal(tokens[:8], eight) and torch.equal(tokens[:1], one)),
        "images_per_hour_to_png": round(3600 * batch / png_seconds, 1),
        "images_per_hour_tokens_alone": round(3600 * batch / tokens_seconds, 1),
        "fraction_of_roofline_to_png": round(required / png_seconds, 3),
        "fraction_of_roofline_tokens_alone": round(required / tokens_seconds, 3),
        "batch": batch,
        "attention": generator.batching.attention,
        "cuda_graphs": graphs_of(generator.engine),
        "device": "cpu",
    }


def on_gpu(arguments: argparse.Namespace) -> dict[str, Any]:
    device = torch.device("cuda")
    model = random_model(LARGE, VISUAL_TOKENS, device, torch.bfloat16, published_vq=True)
    side = arguments.side or 64
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

    weights = RandomWeights(model)
    used = torch.cuda.memory_allocated()
    generator = weights.generator(side, None, attention=arguments.attention, tf32=arguments.tf32)
    generator.batching = generator.plan(new_captions(SHARD), SHARD, arguments.batch)
    batch = generator.batching.batch_size
    plan = generator.engine.memory(generator.batching.prompt_length)
    prompts = new_prompts(2 * batch, side)
    torch.cuda.reset_peak_memory_stats()
    drawn = drawn_to_png(generator, prompts)
    peak_allocated, peak_reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    turned = generator.codes(prompts[:batch][::-1])[::-1]
    required = roofline(generator.engine, batch, reached)
    return {
        "images_per_hour_to_png": round(3600 * 2 * batch / drawn.seconds, 1),
        "images_per_hour_while_decoding": round(3600 * batch / drawn.sampling[1], 1),
        "images_per_hour_tokens_alone": round(3600 * batch / drawn.sampling[0], 1),
        "fraction_of_roofline_to_png": round(2 * required / drawn.seconds, 3),
        "fraction_of_roofline_while_decoding": round(required / drawn.sampling[1], 3),
        "fraction_of_roofline_tokens_alone": round(required / drawn.sampling[0], 3),
        "reference_images_per_hour": round(3600 * STUDY_BATCH / reference_seconds, 2),
        "ratio_vs_reference": round(reference_seconds / STUDY_BATCH / (drawn.seconds / (2 * batch)), 2),
        "batch": batch,
        "effective_batch_size": generator.effective_batch_size,
        "attention": generator.batching.attention,
        "cuda_graphs": graphs_of(generator.engine),
        "elementwise_compiled": weights.language.elementwise.fused,
        "decoder_tf32": arguments.tf32,
        "bandwidth_gb_per_s": round(reached / 1e9),
        "peak_allocated_gb": round(peak_allocated / 1e9, 1),
        "peak_reserved_gb": round(peak_reserved / 1e9, 1),
        "planned_gb": round((used + plan.peak(batch)) / 1e9, 1),
        "tokens_independent_of_neighbours": bool((drawn.codes[:batch] == turned).all()),
        "device": torch.cuda.get_device_name(device),
    }


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


if __name__ == "__main__":
    main()
