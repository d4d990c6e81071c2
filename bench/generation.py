"""How much faster the grid engine draws than transformers' documented way, with identical tokens.

Without arguments, on the CPU: an Emu3 of some 100 M random parameters, greedy decoding, guidance 3. The documented way is
`generate` with a prefix function and guidance as a second forward, one image at a time and eight together; the engine draws
thirty-two together. Ends with one line of JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import emudrift.torchvision_mend  # noqa: F401  (before transformers)

import torch
from transformers import Emu3Config, Emu3ForConditionalGeneration
from transformers.utils import logging

from emudrift.generators.emu3.engine import GridEngine
from emudrift.generators.emu3.recipe import Recipe
from emudrift.generators.emu3.reference import ReferenceEngine

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=12, help="visual tokens per side")
    parser.add_argument("--batch", type=int, default=32, help="images that the engine draws together")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    model = random_model()
    side = 8 * arguments.side
    settings = {"width": side, "height": side, "guidance_scale": 3.0, "top_k": 1, "suffix": "", "negative_prompt": "x"}
    recipe = Recipe(MINIATURE, model, settings)
    captions = [" ".join(WORDS[: 3 + i % 10]) + f" {i}" for i in range(arguments.batch)]
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} M parameters, {torch.get_num_threads()} threads")

    engine, reference = GridEngine(model, recipe), ReferenceEngine(model, recipe)
    seeds = list(range(len(captions)))
    drawn, engine_rate = measured("engine", len(captions), lambda: engine.codes(captions, seeds))
    eight, batch8_rate = measured("documented, 8 together", 8, lambda: documented(reference, captions[:8]))
    one, batch1_rate = measured("documented, 1 alone", 1, lambda: documented(reference, captions[:1]))
    figures = {
        "ratio_vs_documented_batch8": round(engine_rate / batch8_rate, 2),
        "ratio_vs_documented_batch1": round(engine_rate / batch1_rate, 2),
        "tokens_identical": bool(torch.equal(drawn[:8], eight) and torch.equal(drawn[:1], one)),
        "engine_images_per_hour": round(engine_rate * 3600, 1),
        "engine_batch": len(captions),
        "device": "cpu",
    }
    print(json.dumps(figures))


def random_model() -> Emu3ForConditionalGeneration:
    """The miniature's tokens and VQ under a language model of some 100 M random parameters."""
    config = Emu3Config.from_pretrained(MINIATURE)
    text = config.text_config
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = 768, 3072, 10
    text.num_attention_heads, text.num_key_value_heads, text.head_dim = 12, 4, 64
    text.max_position_embeddings = 4096
    torch.manual_seed(0)
    model = Emu3ForConditionalGeneration(config).eval()
    # Larger logits than at initialisation: greedy choices then stand clear of rounding.
    model.lm_head.weight.data.normal_(std=0.2)
    return model


@torch.inference_mode()
def documented(reference: ReferenceEngine, captions: list[str]) -> torch.Tensor:
    """transformers' documentation of Emu3, greedy: no sampler of ours in the loop."""
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
    return reference.read(output[:, length:])


def measured(name: str, images: int, draw: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """The tokens and images per second."""
    start = time.perf_counter()
    tokens = draw()
    seconds = time.perf_counter() - start
    print(f"{name}: {images} images in {seconds:.1f} s, {seconds / images:.2f} s per image", flush=True)
    return tokens, images / seconds


if __name__ == "__main__":
    main()
