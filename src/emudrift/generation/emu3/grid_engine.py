"""The grid engine: both halves of guidance in one batch, only visual tokens scored, only the filled cache read.

The token grid is known in advance, so all images of a batch have one length: no end-of-sequence test, no padding at the end,
no prefix function. Every shape of a step is fixed and every counter lives on the device, so that on a GPU a step is one CUDA
graph and the host only starts it. The language model itself is in `language.py`.
Its tokens equal those of `ReferenceEngine` (tests/generation/test_grid_engine.py).
"""

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import BatchFeature, Emu3ForConditionalGeneration

from emudrift.generation.emu3.cuda_graphs import Graphs
from emudrift.generation.emu3.language_model import LanguageModel
from emudrift.generation.emu3.recipe import Recipe
from emudrift.generation.emu3.sampling import image_uniforms, sample_top_k

GRAPH_SLOTS = 256
"""On a GPU attention reads the cache up to a multiple of this: one graph each, and at most this much read in vain."""


class GridEngine:
    """Draws visual tokens, one forward per token for a whole batch. Same interface as `ReferenceEngine`.

    Args:
        language: the language model of `model`; several engines may share it.
        prompt_length: pad prompts to at least this many tokens. In 16 bit the padding moves roundings; on a GPU another
            padding needs new graphs.
        slots: the cache is read up to a multiple of this many tokens; default 1 on a CPU, `GRAPH_SLOTS` on a GPU.
    """

    def __init__(
        self,
        model: Emu3ForConditionalGeneration,
        language: LanguageModel,
        recipe: Recipe,
        prompt_length: int = 0,
        slots: int | None = None,
    ) -> None:
        self.language, self.recipe, self.prompt_length = language, recipe, prompt_length
        self.slots = slots or (GRAPH_SLOTS if language.device.type == "cuda" else 1)
        ids = recipe.structure
        # A view: logits are computed for the visual vocabulary alone.
        self.head = model.lm_head.weight[ids.first_visual : ids.first_visual + ids.n_visual]
        self._batch: _Batch | None = None

    @property
    def capacity(self) -> int:
        """Slots of a row of the cache: the prompt, and h rows of w visual tokens and an end of line each, rounded up."""
        filled = self.prompt_length + self.recipe.h * (self.recipe.w + 1)
        return -(-filled // self.slots) * self.slots

    @property
    def rows_per_image(self) -> int:
        return 1 if self.recipe.guidance_scale == 1 else 2

    def bytes_per_image(self) -> int:
        """Device memory that one more image of a batch takes: cache, logits, and what sampling needs."""
        vocabulary = self.recipe.structure.n_visual
        # Per row float32 logits and a copy for guidance; per image sorting: values, 64-bit indices and probabilities.
        scoring = vocabulary * (self.rows_per_image * 8 + 4 + 8) + min(self.recipe.top_k, vocabulary) * 48
        return self.rows_per_image * self.capacity * self.language.bytes_per_token + scoring

    def release(self) -> None:
        """Gives the cache and the graphs back; the next batch makes new ones."""
        self._batch = None
        if self.language.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def codes(self, captions: list[str], seeds: list[int]) -> Tensor:
        """Draws one image per caption.

        Args:
            captions: without the suffix.
            seeds: one per caption; an image's tokens depend on its caption and seed alone.

        Returns:
            (batch, h, w) int64 codes of the codebook, on the device.

        Raises:
            torch.OutOfMemoryError: the batch is too large for the device; `release` and draw fewer together.
        """
        recipe, n_places = self.recipe, self.recipe.h * self.recipe.w
        tokens, lengths = self._prompts(captions)
        self.prompt_length = max(self.prompt_length, tokens.shape[1])
        if self._batch is None or not self._batch.fits(len(captions), self.capacity):
            self.release()
            self._batch = _Batch(self, len(captions))
        batch = self._batch
        batch.start(tokens, lengths, np.stack([image_uniforms(seed, n_places) for seed in seeds]))
        filled = tokens.shape[1]
        for place in range(1, n_places):
            # The end of a line is written, not drawn: it goes through the model together with the token before it.
            new = 2 if place % recipe.w == 0 else 1
            filled += new
            batch.step(new, self._read(filled))
        return batch.drawn.view(len(captions), recipe.h, recipe.w).clone()

    def _read(self, filled: int) -> int:
        """How many slots a step looks at, when the longest row has `filled`. FlashAttention is told the lengths itself."""
        if self.language.attention == "flash":
            return self.capacity
        return -(-filled // self.slots) * self.slots

    def choose(self, hidden: Tensor, uniforms: Tensor) -> Tensor:
        """From last hidden states (rows, hidden) and one uniform per image to codes (batch,) int64."""
        logits = linear(hidden, self.head).float()
        if self.rows_per_image == 2:
            conditional, unconditional = logits.chunk(2)
            logits = unconditional + self.recipe.guidance_scale * (conditional - unconditional)
        return sample_top_k(logits, uniforms, self.recipe.top_k)

    def _prompts(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Right-padded token ids (rows, length) and the rows' lengths; with guidance the negative prompts stand below."""
        recipe = self.recipe
        inputs = [recipe.positive(captions)]
        if self.rows_per_image == 2:
            inputs.append(recipe.negative(len(captions)))
        rows = [row for each in inputs for row in _without_padding(each)]
        length = max(self.prompt_length, *(len(row) for row in rows))
        tokens = torch.full((len(rows), length), recipe.structure.pad)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = ids
        lengths = torch.tensor([len(row) for row in rows])
        return tokens.to(recipe.device), lengths.to(recipe.device)


class _Batch:
    """The device's memory of a batch in the making: fixed tensors that every step reads and writes in place.

    Attributes:
        drawn: (batch, places) int64 codes.
        tokens: (rows, 2) int64, what the next step feeds: the last visual token, and an end of line.
        filled: (rows,) int64, how many slots of the cache hold a token.
        place: (1,) int64, the place that the next step draws.
    """

    def __init__(self, engine: GridEngine, images: int) -> None:
        recipe, language = engine.recipe, engine.language
        self.engine, self.images, self.capacity = engine, images, engine.capacity
        rows, places = images * engine.rows_per_image, recipe.h * recipe.w
        self.cache = language.new_cache(rows, self.capacity)
        new = {"dtype": torch.long, "device": language.device}
        self.drawn = torch.zeros(images, places, **new)
        self.tokens = torch.full((rows, 2), recipe.structure.eol, **new)
        self.filled = torch.zeros(rows, **new)
        self.place = torch.zeros(1, **new)
        self.uniforms = torch.zeros(images, places, dtype=torch.float64, device=language.device)
        self.graphs = Graphs(language.device, (self.tokens, self.filled, self.place))

    def fits(self, images: int, capacity: int) -> bool:
        return self.images == images and self.capacity == capacity

    def start(self, tokens: Tensor, lengths: Tensor, uniforms: np.ndarray) -> None:
        """Reads the prompts and draws the first place."""
        self.uniforms.copy_(torch.from_numpy(uniforms))
        self.filled.copy_(lengths)
        self.place.zero_()
        self._draw(self.engine.language.read(tokens, lengths, self.cache))

    def step(self, new: int, read: int) -> None:
        """Feeds the last `new` tokens (1, or 2 at the end of a line) and draws a place.

        Args:
            read: how many slots of the cache attention looks at; those that are not filled yet are masked.
        """
        self.graphs.run((new, read), lambda: self._step(new, read))

    def _step(self, new: int, read: int) -> None:
        hidden = self.engine.language.step(self.tokens[:, :new], self.filled, self.cache, read)
        self.filled += new
        self._draw(hidden)

    def _draw(self, hidden: Tensor) -> None:
        uniforms = self.uniforms.index_select(1, self.place).squeeze(1)
        codes = self.engine.choose(hidden, uniforms)
        self.drawn.index_copy_(1, self.place, codes.unsqueeze(1))
        visual = codes + self.engine.recipe.structure.first_visual
        self.tokens[:, 0] = visual.repeat(self.engine.rows_per_image)
        self.place += 1


def _without_padding(inputs: BatchFeature) -> list[Tensor]:
    pairs = zip(inputs["input_ids"].cpu(), inputs["attention_mask"].cpu().bool(), strict=True)
    return [ids[attended] for ids, attended in pairs]
