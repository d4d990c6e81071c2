"""The grid engine: batched guidance, logits for visual tokens only, and attention over the filled part of the KV cache only.

The token grid is known in advance, so all images of a batch have the same length: no end-of-sequence test, no trailing padding,
no prefix function. All shapes of a step are fixed and all counters are on the device, so that on a GPU each step is a single
CUDA graph launch. The language model itself is in `language_model.py`.
The sampled tokens equal those of `ReferenceEngine` (tests/generation/test_grid_engine.py).
"""

from dataclasses import replace

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import BatchFeature, Emu3ForConditionalGeneration

from emudrift.generation.emu3.cuda_graphs import Graphs
from emudrift.generation.emu3.language_model import LanguageModel
from emudrift.generation.emu3.memory import Grid, MemoryPlan, plan_memory
from emudrift.generation.emu3.recipe import Recipe
from emudrift.generation.emu3.sampling import image_uniforms, sample_top_k

KV_BUCKET = 256
"""On a GPU, attention covers the cache up to a multiple of this length: one CUDA graph per multiple, and little wasted work."""


class GridEngine:
    """Samples visual tokens with one forward pass per token for a whole batch. Same interface as `ReferenceEngine`.

    Args:
        language: the language model of `model`; several engines may share it.
        prompt_length: pad prompts to at least this many tokens. In 16 bit the padding affects rounding; on a GPU a different
            padding requires new graphs.
        kv_bucket: attention covers the cache up to a multiple of this length; default 1 on a CPU, `KV_BUCKET` on a GPU.
    """

    def __init__(
        self,
        model: Emu3ForConditionalGeneration,
        language: LanguageModel,
        recipe: Recipe,
        prompt_length: int = 0,
        kv_bucket: int | None = None,
    ) -> None:
        self.language, self.recipe, self.prompt_length = language, recipe, prompt_length
        self.kv_bucket = kv_bucket or (KV_BUCKET if language.device.type == "cuda" else 1)
        ids = recipe.structure
        # A view of the LM head, so that logits are computed for visual tokens only.
        self.head = model.lm_head.weight[ids.first_visual : ids.first_visual + ids.n_visual]
        self._batch: _Batch | None = None

    @property
    def grid(self) -> Grid:
        """The visual tokens of an image and the length of its prompt."""
        recipe = self.recipe
        guided = recipe.guidance_scale != 1
        return Grid(recipe.h, recipe.w, guided, self.prompt_length, self.kv_bucket, recipe.top_k)

    @property
    def capacity(self) -> int:
        """Positions per row of the cache: the prompt plus h lines of w visual tokens and an end of line, rounded up."""
        return self.grid.capacity

    @property
    def rows_per_image(self) -> int:
        return self.grid.rows_per_image

    def memory(self, prompt_length: int) -> MemoryPlan:
        """Device memory of a batch with prompts of this length, and of decoding its images."""
        shape = self.language.shape(self.recipe.structure.n_visual)
        size = (self.recipe.width, self.recipe.height)
        return plan_memory(shape, replace(self.grid, prompt_length=prompt_length), size)

    def release(self) -> None:
        """Frees the cache and the graphs; the next batch allocates new ones."""
        self._batch = None
        if self.language.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def codes(self, captions: list[str], seeds: list[int]) -> Tensor:
        """Samples the visual tokens of one image per caption.

        Args:
            captions: without the suffix.
            seeds: one per caption; an image's tokens depend on its caption and seed only.

        Returns:
            (batch, h, w) int64 codebook indices, on the device; -1 from where an image's logits were not finite.

        Raises:
            torch.OutOfMemoryError: the batch is too large for the device; `release` and use a smaller batch.
        """
        recipe, n_tokens = self.recipe, self.recipe.h * self.recipe.w
        tokens, lengths = self._prompts(captions)
        self.prompt_length = max(self.prompt_length, tokens.shape[1])
        if self._batch is None or not self._batch.fits(len(captions), self.capacity):
            self.release()
            self._batch = _Batch(self, len(captions))
        batch = self._batch
        batch.start(tokens, lengths, np.stack([image_uniforms(seed, n_tokens) for seed in seeds]))
        longest = tokens.shape[1]
        for position in range(1, n_tokens):
            # The end of a line is not sampled: it is fed to the model together with the token before it.
            new = 2 if position % recipe.w == 0 else 1
            longest += new
            batch.step(new, self._kv_length(longest))
        return batch.sampled.view(len(captions), recipe.h, recipe.w).clone()

    def _kv_length(self, longest: int) -> int:
        """Cache positions that a step attends to, given the longest row. FlashAttention takes the lengths themselves."""
        if self.language.attention == "flash":
            return self.capacity
        return -(-longest // self.kv_bucket) * self.kv_bucket

    def sample(self, hidden: Tensor, uniforms: Tensor) -> Tensor:
        """Samples codes (batch,) int64 from last hidden states (rows, hidden) and one uniform random number per image."""
        logits = linear(hidden, self.head).float()
        if self.rows_per_image == 2:
            conditional, unconditional = logits.chunk(2)
            logits = unconditional + self.recipe.guidance_scale * (conditional - unconditional)
        return sample_top_k(logits, uniforms, self.recipe.top_k)

    def _prompts(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Right-padded token ids (rows, length) and the rows' lengths; with guidance, negative prompts form the second half."""
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
    """Device state of a batch: fixed tensors that every step reads and updates in place.

    Attributes:
        sampled: (batch, n_tokens) int64 codes.
        tokens: (rows, 2) int64, input of the next step: the last visual token, and an end of line.
        cache_lengths: (rows,) int64, number of filled KV-cache positions.
        position: (1,) int64, index of the next visual token to sample.
    """

    def __init__(self, engine: GridEngine, images: int) -> None:
        recipe, language = engine.recipe, engine.language
        self.engine, self.images, self.capacity = engine, images, engine.capacity
        rows, n_tokens = images * engine.rows_per_image, recipe.h * recipe.w
        self.cache = language.new_cache(rows, self.capacity)
        new = {"dtype": torch.long, "device": language.device}
        self.sampled = torch.zeros(images, n_tokens, **new)
        self.tokens = torch.full((rows, 2), recipe.structure.eol, **new)
        self.cache_lengths = torch.zeros(rows, **new)
        self.position = torch.zeros(1, **new)
        self.uniforms = torch.zeros(images, n_tokens, dtype=torch.float64, device=language.device)
        self.graphs = Graphs(language.device, (self.tokens, self.cache_lengths, self.position))

    def fits(self, images: int, capacity: int) -> bool:
        return self.images == images and self.capacity == capacity

    def start(self, tokens: Tensor, lengths: Tensor, uniforms: np.ndarray) -> None:
        """Prefills the cache with the prompts and samples the first token."""
        self.uniforms.copy_(torch.from_numpy(uniforms))
        self.cache_lengths.copy_(lengths)
        self.position.zero_()
        self._sample(self.engine.language.prefill(tokens, lengths, self.cache))

    def step(self, new: int, kv_length: int) -> None:
        """Feeds the last `new` tokens (1, or 2 at the end of a line) and samples the next one.

        Args:
            kv_length: cache positions that attention covers; unfilled ones are masked.
        """
        self.graphs.run((new, kv_length), lambda: self._step(new, kv_length))

    def _step(self, new: int, kv_length: int) -> None:
        hidden = self.engine.language.step(self.tokens[:, :new], self.cache_lengths, self.cache, kv_length)
        self.cache_lengths += new
        self._sample(hidden)

    def _sample(self, hidden: Tensor) -> None:
        uniforms = self.uniforms.index_select(1, self.position).squeeze(1)
        codes = self.engine.sample(hidden, uniforms)
        self.sampled.index_copy_(1, self.position, codes.unsqueeze(1))
        visual = codes + self.engine.recipe.structure.first_visual
        self.tokens[:, 0] = visual.repeat(self.engine.rows_per_image)
        self.position += 1


def _without_padding(inputs: BatchFeature) -> list[Tensor]:
    pairs = zip(inputs["input_ids"].cpu(), inputs["attention_mask"].cpu().bool(), strict=True)
    return [ids[attended] for ids, attended in pairs]
