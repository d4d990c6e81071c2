"""Device memory of generation: a pure function of the model's shape, the grid of visual tokens and the device.

Every constant is checked against bytes counted while the real code runs on meta tensors (tests/generation/test_memory.py).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from emudrift.errors import InputError

logger = logging.getLogger(__name__)

GIB = 2**30

PREFILL_ROWS = 16
"""Rows per prefill step; bounds its memory."""

DECODER_BYTES_PER_PIXEL = 10_400
"""Peak of the VQ's decoder in float32 per pixel, for one image at a time: its input, activations and pixels."""

ENCODER_BYTES_PER_PIXEL = 16_500
"""The same of its encoder, which sees an image as several equal frames."""

SPARE = int(1.5 * GIB)
"""Reserved for what is not counted: CUDA's context, the workspaces of its libraries, and fragmentation."""

LARGEST_BATCH = 256
"""Larger batches bring no further speed-up, even for small images."""


@dataclass(frozen=True)
class ModelShape:
    """What decides the memory of a language model's activations.

    Attributes:
        itemsize: bytes per number.
        n_visual: number of visual tokens, for which logits are computed.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    n_visual: int
    itemsize: int

    @property
    def bytes_per_token(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.itemsize

    @property
    def activations_per_token(self) -> int:
        """Peak of one layer while a token passes through it.

        Gate and up projections and the gated product; the residual stream, its norm, and what attention leaves.
        """
        return (3 * self.intermediate + 3 * self.hidden) * self.itemsize


@dataclass(frozen=True)
class Grid:
    """The visual tokens of an image, and the cache that they need.

    Attributes:
        rows, columns: of visual tokens; each row is followed by an end of line.
        guided: with guidance every image has two rows in the batch.
        prompt_length: tokens that prompts are padded to.
        kv_bucket: the cache's length is a multiple of this.
    """

    rows: int
    columns: int
    guided: bool
    prompt_length: int
    kv_bucket: int
    top_k: int

    @property
    def rows_per_image(self) -> int:
        return 2 if self.guided else 1

    @property
    def capacity(self) -> int:
        """Positions per row of the cache, rounded up to a multiple of `kv_bucket`."""
        length = self.prompt_length + self.rows * (self.columns + 1)
        return -(-length // self.kv_bucket) * self.kv_bucket


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on the device while a batch is generated and decoded.

    Attributes:
        per_image: cache, scoring and activations of a step, for each image of the batch.
        decoding: of one image, since images are decoded one at a time.
        prefill: of `PREFILL_ROWS` prompts.
    """

    per_image: int
    decoding: int
    prefill: int

    def images(self, free: float) -> int:
        """Number of images that fit into `free` bytes together with everything else, at least 1 and at most `LARGEST_BATCH`."""
        return max(1, min(int((free - self.reserved) // self.per_image), LARGEST_BATCH))

    @property
    def reserved(self) -> int:
        """What is needed besides the batch: images of the batch before are decoded while prompts are read and tokens sampled."""
        return SPARE + self.decoding + self.prefill

    def peak(self, batch_size: int) -> int:
        return self.reserved + batch_size * self.per_image


def scoring_bytes(shape: ModelShape, grid: Grid) -> int:
    """Peak of sampling one image: float32 logits of its rows, with their guidance or with the `top_k` largest of them."""
    n, kept = shape.n_visual, min(grid.top_k, shape.n_visual)
    # The logits of one row: as they come, guided in two steps, or sorted (values, indices, probabilities in float64).
    return 4 * n * grid.rows_per_image + (
        max(8 * n, 4 * n + 32 * kept) if grid.guided else max(shape.itemsize * n, 32 * kept)
    )


def plan_memory(shape: ModelShape, grid: Grid, size: tuple[int, int]) -> MemoryPlan:
    """The plan for images of `size`, (width, height) in pixels."""
    step_tokens = 2  # At the end of a line the last visual token and the end of line go through the model together.
    cache = grid.rows_per_image * grid.capacity * shape.bytes_per_token
    mask = (shape.heads // shape.kv_heads) * grid.capacity * shape.itemsize  # Of sdpa; flash needs none.
    step = grid.rows_per_image * step_tokens * (shape.activations_per_token + mask)
    return MemoryPlan(
        # Scoring twice: a batch's first token is sampled outside the CUDA graphs, whose memory is theirs alone.
        per_image=cache + step + 2 * scoring_bytes(shape, grid),
        decoding=DECODER_BYTES_PER_PIXEL * size[0] * size[1],
        prefill=PREFILL_ROWS * grid.prompt_length * shape.activations_per_token,
    )


def answer_memory(shape: ModelShape, prompt_length: int, new_tokens: int, prefill_tokens: int, area: int) -> MemoryPlan:
    """The plan for answers to questions: `shape.n_visual` counts the whole vocabulary, `area` the pixels of a picture.

    Args:
        prompt_length: padded, in tokens, pictures included.
        new_tokens: at most, of an answer.
        prefill_tokens: of a step while prompts are read.
    """
    capacity = prompt_length + new_tokens
    mask = (shape.heads // shape.kv_heads) * capacity * shape.itemsize
    logits = (shape.itemsize + 4 + 1) * shape.n_visual  # As they come, in float32, and whether each is finite.
    return MemoryPlan(
        per_image=capacity * shape.bytes_per_token + shape.activations_per_token + mask + logits,
        decoding=ENCODER_BYTES_PER_PIXEL * area,
        prefill=max(prefill_tokens, prompt_length) * shape.activations_per_token,
    )


def even_batch(fits: int, shard_size: int) -> int:
    """The smallest batch size that splits a shard into no more batches than `fits` does.

    For example, if 97 fit and shards have 500 images: six batches of 84, instead of five of 97 and one of 15.
    """
    return -(-shard_size // -(-shard_size // fits))


OUT_OF_MEMORY = ("out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is a lack of device memory.

    cuBLAS and cuDNN report that they could not allocate a workspace as a RuntimeError of their own, and an allocation that
    fails while a CUDA graph is captured ends in an error about the capture.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, torch.OutOfMemoryError):
            return True
        if isinstance(seen, RuntimeError) and any(text in str(seen) for text in OUT_OF_MEMORY):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


class Batched(Protocol):
    """What works in batches whose size shrinks when memory runs out."""

    effective_batch_size: int


Result = TypeVar("Result")


def halving_batches(batched: Batched, attempt: Callable[[], Result], release: Callable[[], None], what: str) -> Result:
    """Calls `attempt`; each time memory runs out, halves the effective batch size and calls it again.

    Args:
        release: frees what a failed attempt may have left.
        what: that there is not enough memory for, for the message.

    Raises:
        InputError: there is not enough memory even with a batch of one.
    """
    while True:
        try:
            return attempt()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if batched.effective_batch_size == 1:
                raise InputError(
                    f"not enough device memory to {what}; use a larger device, or check that nothing else runs on it (nvidia-smi)"
                ) from error
        # Outside the handler: the exception's traceback would keep the tensors alive.
        release()
        before, batched.effective_batch_size = batched.effective_batch_size, -(-batched.effective_batch_size // 2)
        logger.warning("out of memory with a batch of %d; continuing with %d", before, batched.effective_batch_size)
