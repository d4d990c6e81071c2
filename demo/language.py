"""The language model of the miniature: tokenizer, processor and network of a small but real Emu3, and its training.

Two kinds of sequences, with exactly the prompt layout of Emu3Processor (verified by `check_layout`):

    generation     BOS caption BOI 8*8 IMG | 8 rows of 8 visual tokens, each with EOL; EOF EOI EOS
    understanding  BOS BOI 8*8 IMG rows EOF EOI question | caption EOS

The loss covers only the part to the right of the bar. A tenth of the captions is dropped, so that the model also learns
unconditional generation, as needed for classifier-free guidance.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Emu3Config,
    Emu3ForConditionalGeneration,
    Emu3ImageProcessor,
    Emu3Processor,
    Emu3VQVAE,
    GenerationConfig,
    GPT2Tokenizer,
)
from vq import TOKENS, to_pixels

import scenes
from emudrift.runtime.progress import Progress

QUESTION = " what is in the picture?"
_NOT_LEARNED = -100

# Token names of the real checkpoint, which Emu3Processor and Emu3ForConditionalGeneration require.
_BOS, _EOS, _PAD, _EOL = "<|extra_203|>", "<|extra_204|>", "<|endoftext|>", "<|extra_200|>"
_SPECIAL = {
    "image_token": "<image>",
    "boi_token": "<|image start|>",
    "eoi_token": "<|image end|>",
    "image_wrapper_token": "<|image token|>",
    "eof_token": "<|extra_201|>",
}


@dataclass(frozen=True)
class LanguageSettings:
    scenes: int = 20_000
    steps: int = 2800
    batch: int = 48
    learning_rate: float = 2e-3
    caption_dropout: float = 0.1
    understanding_share: float = 0.1  # the base model is trained on both tasks, nine tenths of the time on generation
    hidden: int = 128
    layers: int = 4
    merges: int = 300


Sequence = tuple[list[int], list[int]]  # input without loss, target


def build_processor(texts: list[str], codes: int, merges: int) -> Emu3Processor:
    """Byte-level BPE as in the real checkpoint, so that any caption can be encoded, plus the visual tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + merges, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(texts, trainer)
    learned = json.loads(bpe.to_str())["model"]
    tokenizer = GPT2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(pair) for pair in learned["merges"]],
        bos_token=_BOS,
        eos_token=_EOS,
        pad_token=_PAD,
        unk_token=_PAD,
        padding_side="left",
        add_prefix_space=False,
        extra_special_tokens=_SPECIAL,
    )
    tokenizer.add_tokens([_EOL], special_tokens=True)
    # Last and contiguous, so that the head can be sliced to them; transformers parses the six digits of the name.
    tokenizer.add_tokens([f"<|visual token {code:06d}|>" for code in range(codes)], special_tokens=True)
    area = scenes.SIDE**2
    images = Emu3ImageProcessor(min_pixels=area, max_pixels=area, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return Emu3Processor(images, tokenizer)


def build_model(processor: Emu3Processor, vq: Emu3VQVAE, settings: LanguageSettings) -> Emu3ForConditionalGeneration:
    """An untrained language model around a trained image tokenizer."""
    tokenizer = processor.tokenizer
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": settings.hidden,
        "intermediate_size": 3 * settings.hidden,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "attention_dropout": 0.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    tokens = {name: value for name, value in vq.config.to_dict().items() if name != "_name_or_path"}  # a local path
    config = Emu3Config(text_config=text | special, vq_config=tokens, vocabulary_map=tokenizer.get_vocab())
    model = Emu3ForConditionalGeneration(config)
    model.model.vqmodel.load_state_dict(vq.state_dict())
    model.generation_config = GenerationConfig(**special)
    return model


class Layout:
    """Builds the two kinds of sequences from captions and visual tokens."""

    def __init__(self, processor: Emu3Processor) -> None:
        self._tokenizer = tokenizer = processor.tokenizer
        self._bos, self._eos = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
        header = f"{tokenizer.boi_token}{TOKENS}*{TOKENS}{tokenizer.image_wrapper_token}"
        self._header, self._question = self.encode([header, QUESTION])
        self._tail = [tokenizer.eof_token_id, tokenizer.eoi_token_id]

    def encode(self, texts: list[str]) -> list[list[int]]:
        return self._tokenizer(texts, add_special_tokens=False).input_ids

    def generation(self, caption: list[int], rows: list[int]) -> Sequence:
        return [*self._bos, *caption, *self._header], [*rows, *self._tail, *self._eos]

    def understanding(self, rows: list[int], caption: list[int]) -> Sequence:
        given = [*self._bos, *self._header, *rows, *self._tail, *self._question]
        return given, [*caption, *self._eos]


def check_layout(processor: Emu3Processor) -> None:
    """Raises RuntimeError if Emu3Processor's prompts differ from the training sequences."""
    layout, caption = Layout(processor), "a small red circle in the middle on a grey background"
    image = scenes.render(scenes.sample_scenes(1, 0)[0])
    asked = processor(text=[caption, ""], return_for_image_generation=True, ratio="1:1", image_area=scenes.SIDE**2)
    given = [layout.generation(tokens, [])[0] for tokens in (*layout.encode([caption]), [])]
    about = processor(text=["<image>" + QUESTION], images=[image], return_tensors="pt")
    rows = [processor.image_token_id] * TOKENS * (TOKENS + 1)
    if asked["input_ids"] != given or about["input_ids"][0].tolist() != layout.understanding(rows, [])[0]:
        raise RuntimeError("the prompt layout of Emu3Processor differs from that of language.py in training")
    if not torch.allclose(about["pixel_values"].float(), to_pixels(image[None]), atol=1e-5):
        raise RuntimeError("the pixel preprocessing of Emu3Processor differs from that of vq.py in training")


class Examples:
    """Training examples: an endless random stream of scenes as token sequences."""

    def __init__(
        self, processor: Emu3Processor, shown: list[scenes.Scene], rows: torch.Tensor, rng: np.random.Generator
    ) -> None:
        self._layout, self._rows, self._rng = Layout(processor), rows.tolist(), rng
        captions = self._layout.encode([caption for scene in shown for caption in scenes.captions(scene)])
        ways = len(scenes.TEMPLATES)
        self._captions = [captions[start : start + ways] for start in range(0, len(captions), ways)]
        self._pad = processor.tokenizer.pad_token_id

    def batches(
        self, size: int, understanding_share: float, caption_dropout: float = 0.0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yields right-padded tokens and labels."""
        while True:
            sequences = [self._draw(understanding_share, caption_dropout) for _ in range(size)]
            width = max(len(given) + len(learned) for given, learned in sequences)
            tokens = torch.full((size, width), self._pad)
            labels = torch.full((size, width), _NOT_LEARNED)
            for row, (given, learned) in enumerate(sequences):
                end = len(given) + len(learned)
                tokens[row, :end] = torch.tensor(given + learned)
                labels[row, len(given) : end] = torch.tensor(learned)
            yield tokens, labels

    def _draw(self, understanding_share: float, caption_dropout: float) -> Sequence:
        index = self._rng.integers(len(self._rows))
        caption = self._captions[index][self._rng.integers(len(scenes.TEMPLATES))]
        if self._rng.random() < understanding_share:
            return self._layout.understanding(self._rows[index], caption)
        return self._layout.generation([] if self._rng.random() < caption_dropout else caption, self._rows[index])


def to_rows(model: Emu3ForConditionalGeneration, codes: torch.Tensor) -> torch.Tensor:
    """(n, 8, 8) codes -> (n, 72) tokens of the language model, an EOL after each row."""
    return torch.stack([model.vocabulary_mapping.convert_img2bpe(image).flatten().long() for image in codes])


def loss_of(model: Emu3ForConditionalGeneration, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    learned = labels[:, 1:] != _NOT_LEARNED
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model.text_model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1]
        logits = model.lm_head(hidden[learned])
    return F.cross_entropy(logits.float(), labels[:, 1:][learned])


def train_language_model(model: Emu3ForConditionalGeneration, examples: Examples, settings: LanguageSettings) -> None:
    """Trains everything but the image tokenizer, in place.

    The model stays in eval mode: there is no dropout, and train() would update BatchNorm statistics in image tokenizers that
    have them (those with residual blocks, such as the real one).
    """
    model.eval().model.vqmodel.requires_grad_(False)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    recent = 0.0
    batches = examples.batches(settings.batch, settings.understanding_share, settings.caption_dropout)
    with Progress("language model", settings.steps, "step") as progress:
        for step in range(settings.steps):
            for group in optimizer.param_groups:  # warm-up over 60 steps, then linear decay to 2 %
                group["lr"] = settings.learning_rate * min(1, (step + 1) / 60) * (1 - 0.98 * step / settings.steps)
            loss = loss_of(model, *next(batches))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
            progress.update(note=f"loss {recent:.3f}")
