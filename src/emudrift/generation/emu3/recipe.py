"""The authors' text-to-image recipe: the model's input, and the layout of the token grid.

Sources: baaivision/Emu3's inference script and transformers' documentation of Emu3, avoiding the pitfalls of both: the
negative prompt has the same image header as the positive one, padding is on the left, and every setting is explicit.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

from transformers import BatchFeature, Emu3ForConditionalGeneration, Emu3Processor

from emudrift.errors import InputError

EOL = "<|extra_200|>"
SPATIAL_FACTOR = 8
"""Pixels per visual token along each side, fixed by Emu3's VQ."""


@dataclass(frozen=True)
class Structure:
    """Ids of the structure tokens (which are not sampled), and the range of the visual tokens."""

    eol: int
    eof: int
    eoi: int
    eos: int
    pad: int
    first_visual: int
    n_visual: int


class Recipe:
    """Builds the language model's inputs from captions, for one arm.

    Attributes:
        h, w: rows and columns of visual tokens.
        guidance_scale, top_k: as in the arm's settings.
        structure: ids of the structure and visual tokens.
    """

    def __init__(self, checkpoint: Path, model: Emu3ForConditionalGeneration, settings: dict[str, Any]) -> None:
        try:
            self.processor = Emu3Processor.from_pretrained(checkpoint, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"{checkpoint}: cannot load the processor: {error}") from error
        self.processor.tokenizer.padding_side = "left"
        self.width, self.height = settings["width"], settings["height"]
        self.h, self.w = self.height // SPATIAL_FACTOR, self.width // SPATIAL_FACTOR
        self.guidance_scale: float = settings["guidance_scale"]
        self.top_k: int = settings["top_k"]
        self.suffix: str = settings["suffix"]
        self.negative_prompt: str = settings.get("negative_prompt", "")
        self.structure = self._structure(model)
        self.device = model.device

    @property
    def new_tokens(self) -> int:
        """h lines of w visual tokens and an end of line, then end of frame, end of image and end of sequence."""
        return self.h * (self.w + 1) + 3

    def longest(self, captions: list[str]) -> int:
        """Tokens of the longest prompt among all captions and, with guidance, the negative prompt."""
        texts = [caption + self.suffix for caption in captions] + [self.negative_prompt] * (self.guidance_scale != 1)
        tokenizer = self.processor.tokenizer
        ends = self._encode([""])["input_ids"].shape[1]  # Tokens that the recipe adds around a text.
        return ends + max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])

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

    def _structure(self, model: Emu3ForConditionalGeneration) -> Structure:
        tokenizer = self.processor.tokenizer
        visual = model.vocabulary_mapping.image_tokens
        # Codes are computed as id - first_visual, so the ids must be one contiguous range in codebook order.
        if [model.vocabulary_mapping.img2bpe.get(code) for code in range(len(visual))] != list(
            range(visual[0], visual[0] + len(visual))
        ):
            raise InputError(
                "the checkpoint's visual tokens are not a contiguous range of ids in codebook order: not an Emu3 tokenizer"
            )
        return Structure(
            eol=tokenizer.convert_tokens_to_ids(EOL),
            eof=tokenizer.eof_token_id,
            eoi=tokenizer.eoi_token_id,
            eos=tokenizer.eos_token_id,
            pad=tokenizer.pad_token_id,
            first_visual=visual[0],
            n_visual=len(visual),
        )
