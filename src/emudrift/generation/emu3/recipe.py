"""The authors' text-to-image recipe: the model's input, and the layout of the token grid.

Sources: baaivision/Emu3's inference script and transformers' documentation of Emu3, avoiding the pitfalls of both: the
negative prompt has the same image header as the positive one, padding is on the left, and every setting is explicit.
"""

from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

from transformers import BatchFeature, Emu3ForConditionalGeneration

from emudrift.errors import InputError
from emudrift.generation.emu3.vocabulary import load_processor, read_structure

SPATIAL_FACTOR = 8
"""Pixels per visual token along each side, fixed by Emu3's VQ."""


def check_positions(width: int, height: int, positions: int, prompt_length: int) -> None:
    """Raises InputError if an image of this size and its prompt have more tokens than the language model has positions."""
    tokens = new_tokens(height // SPATIAL_FACTOR, width // SPATIAL_FACTOR)
    if tokens + prompt_length > positions:
        prompt = f" and its prompt {prompt_length:,}" if prompt_length else ""
        raise InputError(
            f"generation: width {width}, height {height}: an image has {tokens:,} tokens{prompt}, but the model has "
            f"{positions:,} positions (max_position_embeddings), beyond which it was not trained; choose a smaller size"
        )


def new_tokens(h: int, w: int) -> int:
    """Tokens of an image: h lines of w visual tokens and an end of line, then end of frame, end of image and end of sequence."""
    return h * (w + 1) + 3


class Recipe:
    """Builds the language model's inputs from captions, for one arm.

    Attributes:
        h, w: rows and columns of visual tokens.
        guidance_scale, top_k: as in the arm's settings.
        structure: ids of the structure and visual tokens.
    """

    def __init__(self, checkpoint: Path, model: Emu3ForConditionalGeneration, settings: dict[str, Any]) -> None:
        self.processor = load_processor(checkpoint)
        self.processor.tokenizer.padding_side = "left"
        self.width, self.height = settings["width"], settings["height"]
        self.h, self.w = self.height // SPATIAL_FACTOR, self.width // SPATIAL_FACTOR
        self.guidance_scale: float = settings["guidance_scale"]
        self.top_k: int = settings["top_k"]
        self.suffix: str = settings["suffix"]
        self.negative_prompt: str = settings.get("negative_prompt", "")
        self.structure = read_structure(checkpoint, self.processor.tokenizer, model)
        self.device = model.device

    @property
    def new_tokens(self) -> int:
        return new_tokens(self.h, self.w)

    def longest(self, captions: list[str]) -> int:
        """Tokens of the longest prompt among all captions and, with guidance, the negative prompt."""
        texts = [caption + self.suffix for caption in captions] + [self.negative_prompt] * (self.guidance_scale != 1)
        encoded = self.processor.tokenizer(texts, add_special_tokens=False)["input_ids"]
        for text, ids in zip(texts, encoded, strict=True):
            if text and not ids:
                raise InputError(f"the tokenizer has no tokens for the caption {text!r}; its image would ignore it")
        ends = self._encode([""])["input_ids"].shape[1]  # Tokens that the recipe adds around a text.
        return ends + max(map(len, encoded))

    def positive(self, captions: list[str]) -> BatchFeature:
        """Left-padded `input_ids` and `attention_mask`, (batch, length), each ending in the image header."""
        return self._encode([caption + self.suffix for caption in captions])

    def negative(self, n: int) -> BatchFeature:
        """The unconditional half of guidance: the negative prompt n times, (n, length)."""
        return self._encode([self.negative_prompt] * n)

    def _encode(self, texts: list[str]) -> BatchFeature:
        inputs = self.processor(
            text=texts,
            return_for_image_generation=True,
            ratio=f"{self.width}:{self.height}",
            image_area=self.width * self.height,
            padding=True,
            return_tensors="pt",
        )
        sizes = {tuple(size) for size in inputs.pop("image_sizes")}
        if sizes != {(self.h, self.w)}:
            raise InputError(
                f"generation: width {self.width}, height {self.height}: the processor produces a grid of {sizes} tokens, "
                f"not {self.h} x {self.w}; choose another size"
            )
        return inputs.to(self.device)
