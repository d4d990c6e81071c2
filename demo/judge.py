"""Trains the judge of the demo: a tiny LLaVA that answers questions about scenes with yes or no.

    python demo/judge.py

Writes demo/models/judge: a real `LlavaForConditionalGeneration` with its processor, which shares nothing with the models whose
pictures it judges: neither weights nor tokenizer nor training pictures. Prints the share of right answers on scenes it has not
seen.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import torch
from asking import Asked, random_questions, random_scene
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

import scenes
from emudrift.runtime.progress import Progress

FOLDER = Path(__file__).resolve().parent / "models" / "judge"
PATCH = 8
PATCHES = (scenes.SIDE // PATCH) ** 2
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{{ '<image> ' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endfor %}"
)


@dataclass(frozen=True)
class JudgeSettings:
    steps: int = 3000
    batch: int = 32
    questions: int = 12  # about each picture
    learning_rate: float = 1.5e-3
    noise: float = 6.0  # of pixel values, since drawn pictures are not as clean as rendered ones


def build_processor() -> LlavaProcessor:
    """One token for each word of the questions."""
    words = "is are there a the shape shapes background how many one two three no yes large small red ? ."
    names = [*scenes.COLORS, *scenes.BACKGROUNDS, *scenes.SHAPES, *scenes.PLACES, *scenes.RELATIONS]
    vocabulary = dict.fromkeys(["<pad>", "<unk>", "<image>", *words.split(), *" ".join(names).split()])
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, "<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
    )
    images = CLIPImageProcessor(
        size={"shortest_edge": scenes.SIDE},
        crop_size={"height": scenes.SIDE, "width": scenes.SIDE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return LlavaProcessor(
        images,
        fast,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
        image_token="<image>",
    )


def build_model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    tokenizer = processor.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=scenes.SIDE,
        patch_size=PATCH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=80,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    return LlavaForConditionalGeneration(config)


def packed(asked: list[list[Asked]], tokenizer: PreTrainedTokenizerFast, image: int) -> dict[str, torch.Tensor]:
    """All questions about a picture in one sequence, each of which sees the picture and itself only."""
    rows = [[tokenizer(each.question).input_ids for each in of_one] for of_one in asked]
    length = PATCHES + max(sum(map(len, row)) for row in rows)
    ids = torch.full((len(rows), length), tokenizer.pad_token_id)
    ids[:, :PATCHES] = image
    positions, block = torch.zeros_like(ids), torch.full_like(ids, -1)
    positions[:, :PATCHES], block[:, :PATCHES] = torch.arange(PATCHES), 0
    targets = torch.full_like(ids, -100)
    for number, (row, of_one) in enumerate(zip(rows, asked, strict=True)):
        start = PATCHES
        for order, (question, each) in enumerate(zip(row, of_one, strict=True), start=1):
            stop = start + len(question)
            ids[number, start:stop] = torch.tensor(question)
            positions[number, start:stop] = PATCHES + torch.arange(len(question))
            block[number, start:stop] = order
            targets[number, stop - 1] = tokenizer.convert_tokens_to_ids(each.answer)
            start = stop
    own = (block[:, :, None] == block[:, None, :]) | (block[:, None, :] == 0)
    seen = own & torch.ones(length, length, dtype=torch.bool).tril()
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[:, None]
    return {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "targets": targets}


def train(settings: JudgeSettings, seed: int) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    processor = build_processor()
    model = build_model(processor)
    optimizer = torch.optim.AdamW(model.parameters(), settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    with Progress("training the judge", settings.steps, "step") as progress:
        for step in range(settings.steps):
            share = min(1, (step + 1) / 200) * min(1.0, 2 * (1 - step / settings.steps) + 0.02)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * share
            loss, right = loss_of(model, processor, settings, rng)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if step % 250 == 0:
                print(step, f"{loss.item():.3f} {right:.3f}", flush=True)
            progress.update(note=f"loss {loss.item():.3f}, right {right:.3f}")
    return model.to(torch.bfloat16).eval(), processor


def loss_of(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, settings: JudgeSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, float]:
    """Of a new batch, with the share of right answers."""
    shown = [random_scene(rng) for _ in range(settings.batch)]
    asked = [random_questions(scene, settings.questions, rng) for scene in shown]
    pixels = np.stack([scenes.render(scene) for scene in shown]) + rng.normal(
        0, settings.noise * rng.random(), (settings.batch, scenes.SIDE, scenes.SIDE, 3)
    )
    images = torch.tensor(pixels / 127.5 - 1, dtype=torch.float32).permute(0, 3, 1, 2)
    batch = packed(asked, processor.tokenizer, model.config.image_token_id)
    targets = batch.pop("targets")
    features = model.get_image_features(images).pooler_output
    embedded = model.get_input_embeddings()(batch.pop("input_ids"))
    embedded = torch.cat([torch.stack(list(features)), embedded[:, PATCHES:]], 1)
    hidden = model.model.language_model(inputs_embeds=embedded, use_cache=False, **batch).last_hidden_state
    where = targets >= 0
    logits = model.lm_head(hidden[where])
    return cross_entropy(logits, targets[where]), float((logits.argmax(-1) == targets[where]).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write (default: demo/models/judge)")
    parser.add_argument("--steps", type=int, default=JudgeSettings.steps, help="fewer: a worse judge, sooner")
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, processor = train(JudgeSettings(steps=options.steps), options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(options.folder)
    processor.save_pretrained(options.folder)


if __name__ == "__main__":
    main()
