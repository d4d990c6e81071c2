"""Measures how well the demo's models generate and caption images. Prints tables and writes models/quality.json.

    python demo/evaluate.py

The captions describe scenes that are neither in the training data nor in the demo's dataset. All models and guidance scales
get the same captions and random numbers. The sampling loop is short and independent of emudrift's generator.
"""

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers, which the modules below import)

# isort: split
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from language import QUESTION
from peft import PeftModel
from transformers import DynamicCache, Emu3ForConditionalGeneration, Emu3Processor
from vq import TOKENS, decode, encode

import scenes
from emudrift.runtime.progress import Progress
from emudrift.runtime.terminal import start_logging

DEMO = Path(__file__).resolve().parent
EVALUATION_SEED = 31_337
GUIDANCE_SCALES = (1.0, 2.0, 3.0)
FACTS = ("bg", "shapes", "where")


def load_models(folder: Path) -> tuple[Emu3Processor, dict[str, Emu3ForConditionalGeneration]]:
    """The base model, and the base model with the adapter merged, both in float32."""
    base, adapter = folder / "base", folder / "finetuned"
    for needed in (base / "config.json", adapter / "adapter_config.json"):
        if not needed.is_file():
            raise SystemExit(f"{needed} is missing: run python demo/train.py first")
    plain, adapted = (Emu3ForConditionalGeneration.from_pretrained(base, dtype=torch.float32) for _ in range(2))
    merged = PeftModel.from_pretrained(adapted, str(adapter)).merge_and_unload()
    return Emu3Processor.from_pretrained(base), {"base": plain.eval(), "finetuned": merged.eval()}


@torch.inference_mode()
def draw(
    model: Emu3ForConditionalGeneration,
    processor: Emu3Processor,
    captions: list[str],
    guidance_scale: float,
    seed: int = EVALUATION_SEED,
    batch: int = 128,
) -> np.ndarray:
    """Generates one image per caption, (n, 64, 64, 3) uint8. Image i has its own random numbers, independent of the batch."""
    parts = []
    for start in range(0, len(captions), batch):
        some = captions[start : start + batch]
        uniforms = [np.random.Generator(np.random.Philox(key=[seed, start + i])) for i in range(len(some))]
        numbers = torch.from_numpy(np.stack([generator.random(TOKENS**2) for generator in uniforms]))
        parts.append(decode(model.model.vqmodel, _draw_tokens(model, processor, some, guidance_scale, numbers)))
    return np.concatenate(parts)


def _draw_tokens(
    model: Emu3ForConditionalGeneration,
    processor: Emu3Processor,
    captions: list[str],
    guidance_scale: float,
    numbers: torch.Tensor,
) -> torch.Tensor:
    """Samples codes (n, 8, 8). With guidance, prompts without a caption form the second half of the batch."""
    guided = guidance_scale != 1
    texts = captions + [""] * len(captions) if guided else captions
    area = scenes.SIDE**2
    prompt = processor(text=texts, return_for_image_generation=True, image_area=area, padding=True, return_tensors="pt")
    visual = model.vocabulary_mapping.image_tokens  # in one piece, see build_processor
    end_of_line = model.vocabulary_mapping.eol_token_id
    tokens, mask, cache = prompt["input_ids"], prompt["attention_mask"], DynamicCache(config=model.config.text_config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    codes = torch.empty(len(captions), TOKENS**2, dtype=torch.long)
    for index in range(TOKENS**2):
        hidden = model.model.text_model(
            input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        logits = (hidden @ model.lm_head.weight[visual[0] : visual[-1] + 1].T).double()
        if guided:
            with_caption, without = logits.chunk(2)
            logits = without + guidance_scale * (with_caption - without)
        shares = logits.softmax(-1).cumsum(-1)
        codes[:, index] = torch.searchsorted(shares, numbers[:, index, None] * shares[:, -1:])[:, 0]
        tokens = (codes[:, index, None] + visual[0]).repeat(len(texts) // len(captions), 1)
        if (index + 1) % TOKENS == 0:  # the row is full: its end-of-line token is fed together with its last token
            tokens = torch.cat([tokens, torch.full_like(tokens, end_of_line)], 1)
        mask = torch.cat([mask, torch.ones_like(tokens)], 1)
        positions = positions[:, -1:] + 1 + torch.arange(tokens.shape[1])
    return codes.view(-1, TOKENS, TOKENS)


def drawing_quality(images: np.ndarray, shown: list[scenes.Scene]) -> dict[str, float]:
    """The share of generated images that match their caption, by aspect."""
    checks = [scenes.check(image, scene) for image, scene in zip(images, shown, strict=True)]
    return {aspect: round(float(np.mean([c[aspect] for c in checks])), 4) for aspect in (*scenes.ASPECTS, "all")}


@torch.inference_mode()
def seeing_quality(
    model: Emu3ForConditionalGeneration, processor: Emu3Processor, shown: list[scenes.Scene], batch: int = 128
) -> dict[str, float]:
    """The share of real images that the model captions correctly: background, shapes, where, all."""
    right = []
    for start in range(0, len(shown), batch):
        some = shown[start : start + batch]
        images = [scenes.render(scene) for scene in some]
        asked = processor(images=images, text=["<image>" + QUESTION] * len(some), padding=True, return_tensors="pt")
        answers = model.generate(**asked, max_new_tokens=40, do_sample=False)[:, asked["input_ids"].shape[1] :]
        for text, scene in zip(processor.tokenizer.batch_decode(answers, skip_special_tokens=True), some, strict=True):
            said, true = scenes.read_caption(text), scenes.scene_facts(scene)
            right.append([getattr(said, fact) == getattr(true, fact) for fact in FACTS])
    table = np.array(right)
    shares = {fact: round(float(table[:, column].mean()), 4) for column, fact in enumerate(FACTS)}
    return shares | {"all": round(float(table.all(1).mean()), 4)}


def evaluate(folder: Path, count: int) -> dict[str, object]:
    """Computes and prints all numbers of the model card."""
    processor, models = load_models(folder)
    shown = scenes.sample_scenes(count, EVALUATION_SEED)
    captions = [scenes.captions(scene)[i % len(scenes.TEMPLATES)] for i, scene in enumerate(shown)]
    real = np.stack([scenes.render(scene) for scene in shown])
    tokenizer = models["base"].model.vqmodel
    rows = [
        {"images": "real", "guidance_scale": None, **drawing_quality(real, shown)},
        {"images": "tokenizer", "guidance_scale": None}
        | drawing_quality(decode(tokenizer, encode(tokenizer, real)), shown),
    ]
    with Progress("evaluation", len(models) * len(GUIDANCE_SCALES) * count, "image") as progress:
        for name, model in models.items():
            for scale in GUIDANCE_SCALES:
                drawn = draw(model, processor, captions, scale)
                rows.append({"images": name, "guidance_scale": scale, **drawing_quality(drawn, shown)})
                progress.update(count)
    seen = [{"model": name, **seeing_quality(model, processor, shown)} for name, model in models.items()]
    print_table("Generation: share of images that match their caption", rows)
    print_table("Understanding: share of captions that are correct", seen)
    return {"captions": count, "seed": EVALUATION_SEED, "drawing": rows, "seeing": seen}


def print_table(title: str, rows: list[dict]) -> None:
    """Prints a Markdown table for the model card."""
    names = list(rows[0])
    print(f"\n{title}\n\n| {' | '.join(names).replace('_', ' ')} |\n|{'---|' * len(names)}")
    for row in rows:
        cells = [
            "" if row[name] is None else f"{row[name]:g}" if name == "guidance_scale" else row[name] for name in names
        ]
        print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else cell for cell in cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=DEMO / "models", help="folder with base/ and finetuned/")
    parser.add_argument("--captions", type=int, default=512, help="number of captions (default: 512)")
    options = parser.parse_args()
    if options.captions < 1:
        parser.error(f"--captions {options.captions}: must be 1 or more")
    start_logging()
    quality = evaluate(options.models, options.captions)
    (options.models / "quality.json").write_text(json.dumps(quality, indent=2) + "\n")


if __name__ == "__main__":
    main()
