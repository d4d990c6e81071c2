"""Emu3 answers questions about pictures: prompts as its processor lays them out, greedy decoding with a KV cache."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from torch import Tensor
from torch.nn.functional import linear

from emudrift.data.image_sources import PictureFiles
from emudrift.errors import InputError
from emudrift.generation.answers.interface import AskedQuestion
from emudrift.generation.emu3.answer_prompt import PromptLayout, prompt_lengths
from emudrift.generation.emu3.generator import BATCH_ON_CPU, Emu3Weights
from emudrift.generation.emu3.image_tokens import ImageTokens, set_image_area
from emudrift.generation.emu3.memory import answer_memory, halving_batches
from emudrift.generation.emu3.vocabulary import check_vocabulary, load_processor, read_structure
from emudrift.generation.interface import Batched, Batching

logger = logging.getLogger(__name__)

LENGTHS = 64
"""Prompts are padded to a multiple of this, and batched with those of the same length."""
PREFILL_TOKENS = 8192
"""Tokens per prefill step; bounds its memory. A single longer prompt is a step of its own."""


class Emu3Answerer(Batched):
    """Answers questions with an Emu3 checkpoint, for one arm and variant.

    Args:
        settings: of the arm that sees.
        image_area: largest area of a picture, in pixels.
        max_new_tokens: after which an answer is cut off.
        files: the task's pictures.
        tokens: folder of visual tokens.
        vq_digest: sha256 over the weights of the checkpoint's VQ.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        weights: Emu3Weights,
        image_area: int,
        max_new_tokens: int,
        files: PictureFiles,
        tokens: Path,
        vq_digest: str,
    ) -> None:
        self.settings, self.weights, self.max_new_tokens, self.files = settings, weights, max_new_tokens, files
        self.model, self.language = weights.model, weights.language
        self.processor = load_processor(weights.checkpoint)
        check_vocabulary(weights.checkpoint, self.processor.tokenizer, self.model)
        self.structure = read_structure(weights.checkpoint, self.processor.tokenizer, self.model)
        set_image_area(self.processor.image_processor, image_area)
        self.layout = PromptLayout(self.processor, settings["chat"])
        self.image_tokens = ImageTokens(self.processor.image_processor, self.model.model.vqmodel, vq_digest, tokens)
        self.batching = Batching(BATCH_ON_CPU, LENGTHS)

    @property
    def fills(self) -> bool:
        """Whether batches are filled with dummy rows: in 16 bit the size affects rounding."""
        return bool(self.settings["dtype"] != "float32")

    def prompt(self, question: AskedQuestion) -> list[int]:
        """Token ids of the whole prompt, visual tokens included.

        Raises:
            InputError: a text contains the token that stands for a picture, or a picture cannot be encoded.
        """
        codes = [self.image_tokens.codes(picture, self.files) for picture in question.pictures]
        ids = torch.tensor(self.layout.ids(question, [(code.shape[0], code.shape[1]) for code in codes]))
        mapping = self.model.vocabulary_mapping
        visual = [mapping.convert_img2bpe(torch.from_numpy(code.astype("int64"))).flatten() for code in codes]
        ids[ids == self.processor.image_token_id] = torch.cat(visual).long()
        found: list[int] = ids.tolist()
        return found

    def lengths(self, questions: Sequence[AskedQuestion]) -> list[int]:
        """Padded prompt length of each question, in tokens; encodes no picture.

        Raises:
            InputError: a prompt and its answer are longer than the model's positions.
        """
        positions = self.model.config.text_config.max_position_embeddings
        unit = self.batching.prompt_length
        found = prompt_lengths(self.layout, self.files, questions, self.max_new_tokens, positions)
        return [min(-(-length // unit) * unit, positions) for length in found]

    # -- answers --------------------------------------------------------------------------------------------------

    def plan(self, questions: Sequence[AskedQuestion], batch_size: int | None) -> Batching:
        if batch_size is None:
            batch_size = self._largest_batch(max(self.lengths(questions)))
        return Batching(batch_size, LENGTHS)

    def _largest_batch(self, prompt_length: int) -> int:
        device = self.weights.device
        if device.type != "cuda":
            return BATCH_ON_CPU
        torch.cuda.empty_cache()
        shape = self.language.shape(self.model.lm_head.weight.shape[0])
        plan = answer_memory(
            shape, prompt_length, self.max_new_tokens, PREFILL_TOKENS, self.processor.image_processor.max_pixels
        )
        fits = plan.images(torch.cuda.mem_get_info(device)[0])
        logger.info("batch size %d: that many prompts of %d tokens fit into free memory", fits, prompt_length)
        return fits

    def answer(self, questions: Sequence[AskedQuestion]) -> list[str]:
        """Answers of a batch, in its order. Halves the batch size when memory runs out.

        Raises:
            InputError: there is not enough memory for a single question, or the model's output is not finite.
        """
        prompts = [self.prompt(question) for question in questions]

        def attempt() -> list[list[int]]:
            size = self.effective_batch_size
            return [
                ids for start in range(0, len(prompts), size) for ids in self._greedy(prompts[start : start + size])
            ]

        found = halving_batches(self, attempt, self._release, "answer one question with this model")
        for question, ids in zip(questions, found, strict=True):
            if -1 in ids:
                raise InputError(
                    f"the model's output is NaN or infinite for question {question.question_id}: the weights or the adapter are "
                    f"damaged, or their values are too large for {self.settings['dtype']}"
                )
        return [text.strip() for text in self.processor.batch_decode(found, skip_special_tokens=True)]

    @torch.inference_mode()
    def _greedy(self, prompts: Sequence[list[int]]) -> list[list[int]]:
        """The likeliest tokens after each prompt, up to the end of sequence; -1 where logits were not finite."""
        rows = [*prompts, *[prompts[-1]] * (self.effective_batch_size - len(prompts))] if self.fills else [*prompts]
        unit, device = self.batching.prompt_length, self.language.device
        positions = self.model.config.text_config.max_position_embeddings
        width = min(-(-max(map(len, rows)) // unit) * unit, positions)
        tokens = torch.full((len(rows), width), self.structure.pad)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        tokens, lengths = tokens.to(device), torch.tensor([len(ids) for ids in rows], device=device)
        capacity = width + self.max_new_tokens
        cache = self.language.new_cache(len(rows), capacity)
        hidden = self.language.prefill(tokens, lengths, cache, max(1, PREFILL_TOKENS // width))
        ended = torch.zeros(len(rows), dtype=torch.bool, device=device)
        new: list[Tensor] = []
        for _ in range(self.max_new_tokens):
            logits = linear(hidden, self.model.lm_head.weight).float()
            token = logits.argmax(-1)
            ended |= token == self.structure.eos
            broken = ~logits.isfinite().all(-1)
            new.append(torch.where(broken, -1, token))
            if ended.all() or len(new) == self.max_new_tokens:
                break
            hidden = self.language.step(token[:, None], lengths, cache, capacity)
            lengths = lengths + 1
        answers = torch.stack(new, 1)[: len(prompts)].tolist()
        return [ids[: ids.index(self.structure.eos)] if self.structure.eos in ids else ids for ids in answers]

    def _release(self) -> None:
        if self.language.device.type == "cuda":
            torch.cuda.empty_cache()

    def device(self) -> str:
        return self.weights.device_name()
