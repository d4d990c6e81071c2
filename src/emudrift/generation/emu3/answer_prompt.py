"""Prompts of questions about pictures, as Emu3Processor lays them out; their lengths are known without encoding a picture."""

from collections.abc import Sequence
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

from transformers import Emu3Processor
from transformers.models.emu3.image_processing_emu3 import smart_resize

from emudrift.data.image_io import upright_size
from emudrift.data.image_sources import PictureFiles
from emudrift.errors import InputError
from emudrift.generation.answers.interface import AskedQuestion
from emudrift.generation.emu3.recipe import SPATIAL_FACTOR


class PromptLayout:
    """Lays out prompts.

    Args:
        processor: with the bounds of its pictures set (`image_tokens.set_image_area`).
        chat: as in the settings of an arm that sees: `system`, `turn`, `answer`.
    """

    def __init__(self, processor: Emu3Processor, chat: dict[str, str]) -> None:
        self.processor, self.chat = processor, chat

    def text(self, question: AskedQuestion) -> str:
        """The whole prompt, with the processor's placeholder for each picture."""
        turns = [self.chat["system"]]
        for example in question.examples:
            answer = self.chat["answer"].replace("{answer}", example.answer)
            turns += [self._turn(example.text, example.picture is not None), answer]
        return "".join([*turns, self._turn(question.text, True)])

    def ids(self, question: AskedQuestion, grids: Sequence[tuple[int, int]]) -> list[int]:
        """Token ids, with `processor.image_token_id` where visual tokens and ends of lines go.

        Args:
            grids: rows and columns of visual tokens of each picture.

        Raises:
            InputError: a text contains the token that stands for a picture.
        """
        found: list[int] = self.processor.tokenizer(self._expanded(question, grids))["input_ids"]
        return found

    def length(self, question: AskedQuestion, sizes: Sequence[tuple[int, int]]) -> int:
        """Tokens of the prompt.

        Args:
            sizes: (width, height) of each picture, in pixels.
        """
        grids = [self.grid(*size) for size in sizes]
        empty = self._expanded(question, [(h, w) for h, w in grids], with_tokens=False)
        return len(self.processor.tokenizer(empty)["input_ids"]) + sum(h * (w + 1) for h, w in grids)

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of visual tokens of a picture."""
        images: Any = self.processor.image_processor
        resized = smart_resize(height, width, images.spatial_factor, images.min_pixels, images.max_pixels)
        return resized[0] // SPATIAL_FACTOR, resized[1] // SPATIAL_FACTOR

    def _expanded(self, question: AskedQuestion, grids: Sequence[tuple[int, int]], with_tokens: bool = True) -> str:
        processor, image = self.processor, self.processor.image_token
        text, *rest = f"{processor.bos_token}{self.text(question)}".split(image)
        if len(rest) != len(grids):
            raise InputError(f"question {question.question_id}: its text contains {image}, which stands for a picture")
        for (h, w), after in zip(grids, rest, strict=True):
            text += f"{processor.image_start_token}{h}*{w}{processor.fake_token_around_image}"
            text += image * (h * (w + 1) if with_tokens else 0)
            text += f"{processor.eof_token}{processor.image_end_token}{after}"
        return text

    def _turn(self, text: str, shows: bool) -> str:
        # The text last: braces in it stay what they are.
        return self.chat["turn"].replace("{image}", self.processor.image_token if shows else "").replace("{text}", text)


def prompt_lengths(
    layout: PromptLayout, files: PictureFiles, questions: Sequence[AskedQuestion], max_new_tokens: int, positions: int
) -> list[int]:
    """Tokens of each prompt, from the headers of its pictures alone.

    Raises:
        InputError: a prompt and its answer are longer than the model's positions, with the arithmetic; or a picture is damaged.
    """
    sizes: dict[str, tuple[int, int]] = {}
    found = []
    for question in questions:
        for picture in question.pictures:
            if picture.name not in sizes:
                sizes[picture.name] = upright_size(files.data(picture.name), f"{files.source}: {picture.name}")
        length = layout.length(question, [sizes[picture.name] for picture in question.pictures])
        check_prompt_positions(question, length, max_new_tokens, positions)
        found.append(length)
    return found


def check_prompt_positions(question: AskedQuestion, length: int, max_new_tokens: int, positions: int) -> None:
    """Raises InputError, with the arithmetic, where a prompt and its answer do not fit into the model's positions."""
    if length + max_new_tokens <= positions:
        return
    raise InputError(
        f"question {question.question_id}: with {len(question.examples)} examples and {len(question.pictures)} pictures its "
        f"prompt has {length:,} tokens and its answer up to {max_new_tokens:,}, but the model has {positions:,} positions "
        "(max_position_embeddings), beyond which it was not trained; ask for fewer shots, or set a smaller image_area"
    )
