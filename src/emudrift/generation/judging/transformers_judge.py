"""An image → text model of transformers as the judge: the probabilities of the words that may follow the question."""

import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from emudrift.data.image_io import load_image
from emudrift.data.image_sources import PictureFiles
from emudrift.data.prompt_questions import NUMBERS
from emudrift.errors import InputError
from emudrift.generation.answers.interface import AskedQuestion
from emudrift.generation.emu3.memory import halving_batches
from emudrift.generation.interface import Batched, Batching
from emudrift.generation.judging.answers import written
from emudrift.generation.judging.questions import JudgedQuestion
from emudrift.runtime.devices import torch_device

logger = logging.getLogger(__name__)
BATCH = 16
"""Questions per batch, unless the config says otherwise; halved where memory runs out."""


def load_judge_processor(folder: Path) -> Any:
    """The processor of a judge. Raises InputError where there is none with a tokenizer and a chat template."""
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"judge: {folder}: has no processor that transformers loads: {_first_line(error)}") from error
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise InputError(
            f"judge: {folder}: its processor is not one of pictures and text; an image → text model is needed"
        )
    if not getattr(processor, "chat_template", None):
        raise InputError(f"judge: {folder}: its processor has no chat template, which says how a question is put")
    processor.tokenizer.padding_side = "left"
    return processor


def option_tokens(tokenizer: Any, options: Sequence[str]) -> dict[str, list[int]]:
    """The tokens that each answer can begin with: its single-token spellings, with and without a space before.

    Raises:
        InputError: an answer has no token of its own.
    """
    found = {}
    for word in options:
        spellings = [word, word.capitalize(), word.upper()] + ([str(NUMBERS.index(word))] if word in NUMBERS else [])
        ids = [
            tokenizer(prefix + each, add_special_tokens=False).input_ids for each in spellings for prefix in ("", " ")
        ]
        found[word] = sorted({one[0] for one in ids if len(one) == 1 and one[0] != tokenizer.unk_token_id})
    taken = [token for tokens in found.values() for token in tokens]
    for word, tokens in found.items():
        if not tokens or any(taken.count(token) > 1 for token in tokens):
            raise InputError(
                f"judge: its tokenizer has no token of its own for the answer {word!r}; choose another judge"
            )
    return found


class TransformersJudge(Batched):
    """Answers questions of one shard: `yes 0.93 no 0.05`.

    Args:
        folder: of the judge's files.
        settings: `Following.settings`.
        files: the pictures.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], files: PictureFiles) -> None:
        self.files, self.device_ = files, torch_device(settings["device"])
        self.processor = load_judge_processor(folder)
        dtype = getattr(torch, settings["dtype"])
        try:
            model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"judge: {folder}: is no image → text model: {_first_line(error)}") from error
        self.model, self.dtype = model.to(self.device_).eval(), dtype
        self.batching = Batching(BATCH, 0)
        self._options: dict[tuple[str, ...], dict[str, list[int]]] = {}

    def plan(self, questions: Sequence[AskedQuestion], batch_size: int | None) -> Batching:
        return Batching(batch_size or BATCH, 0)

    def lengths(self, questions: Sequence[AskedQuestion]) -> list[int]:
        """In tokens of the text: questions of one length need no padding next to each other."""
        return [len(self.processor.tokenizer(each.text).input_ids) for each in questions]

    def answer(self, questions: Sequence[AskedQuestion]) -> list[str]:
        """Raises InputError where memory does not hold one question, or the model's output is not finite."""

        def attempt() -> torch.Tensor:
            size = self.effective_batch_size
            return torch.cat([self._probabilities(questions[at : at + size]) for at in range(0, len(questions), size)])

        found = halving_batches(self, attempt, self._release, "ask the judge one question")
        return [self._written(question, row) for question, row in zip(questions, found, strict=True)]

    @torch.inference_mode()
    def _probabilities(self, questions: Sequence[AskedQuestion]) -> torch.Tensor:
        """(batch, vocabulary) of the next token."""
        pictures = [load_image(io.BytesIO(self.files.data(q.picture.name)), name=q.picture.name) for q in questions]
        texts = [self.processor.apply_chat_template(_turn(q.text), add_generation_prompt=True) for q in questions]
        inputs = self.processor(text=texts, images=[[each] for each in pictures], padding=True, return_tensors="pt")
        inputs = {
            name: value.to(self.device_, self.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
            if isinstance(value, torch.Tensor)
        }
        logits = self.model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1].float()
        return logits.softmax(-1).cpu()

    def _written(self, question: AskedQuestion, row: torch.Tensor) -> str:
        assert isinstance(question, JudgedQuestion)
        if not row.isfinite().all():
            raise InputError(
                f"judge: its output is NaN or infinite for {question.text!r}: damaged weights, or another dtype"
            )
        if question.options not in self._options:
            self._options[question.options] = option_tokens(self.processor.tokenizer, question.options)
        return written({word: float(row[ids].sum()) for word, ids in self._options[question.options].items()})

    def _release(self) -> None:
        if self.device_.type == "cuda":
            torch.cuda.empty_cache()

    def device(self) -> str:
        return torch.cuda.get_device_name(self.device_) if self.device_.type == "cuda" else "cpu"


def _turn(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
