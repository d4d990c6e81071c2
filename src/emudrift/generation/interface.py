"""What a generator has to provide: one small interface, in three kinds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pydantic.dataclasses
from pydantic import ConfigDict, Field

from emudrift.data.prompts import Prompt


@dataclass(frozen=True)
class GeneratedImage:
    """One finished image.

    Attributes:
        image: (height, width, 3) uint8, RGB.
        tokens: (h, w) integer codes of the visual tokenizer, for models that draw with tokens, else None.
        flagged: a safety checker took offence and put a black image in its place.
        effective_batch_size: how many images were in the batch, where that can move a pixel, else None.
    """

    image: np.ndarray
    tokens: np.ndarray | None = None
    flagged: bool = False
    effective_batch_size: int | None = None


class Generator(Protocol):
    """Draws images for prompts. An image depends on its prompt, its seed and the arm's settings, on nothing else."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) in pixels that every image has, or None where images bring their own."""
        ...

    @property
    def batch_size(self) -> int:
        """How many prompts `generate` is given at once."""
        ...

    def generate(self, prompts: Sequence[Prompt]) -> Iterator[GeneratedImage]:
        """Yields one drawing per prompt, in their order."""
        ...

    def device(self) -> str:
        """The device in words, for the manifest."""
        ...


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Batching:
    """How prompts are put together. In 16 bit both numbers move roundings, and so tokens: an arm then keeps them.

    Attributes:
        batch_size: images drawn together.
        prompt_length: tokens that every prompt is padded to.
    """

    batch_size: int = Field(ge=1)
    prompt_length: int = Field(ge=0)


@runtime_checkable
class BatchedGenerator(Protocol):
    """A generator whose batches are planned, since they can move roundings."""

    batching: Batching
    effective_batch_size: int
    """Images that were really drawn together in the last batch: fewer than `batching` says where memory ran out."""

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        """How prompts should be put together; `batch_size` None: as many as the device takes."""
        ...


@runtime_checkable
class TokenGenerator(BatchedGenerator, Protocol):
    """Draws visual tokens first and turns them into pixels afterwards, so that the costly half is never done twice."""

    @property
    def size(self) -> tuple[int, int]: ...

    def codes(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Visual tokens, (batch, h, w) integers, one image per prompt."""
        ...

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Images (batch, height, width, 3) uint8 of visual tokens."""
        ...

    def device(self) -> str: ...


@runtime_checkable
class ShardGenerator(Protocol):
    """Draws all that is missing of a shard at once, in whatever order it likes."""

    @property
    def size(self) -> tuple[int, int]: ...

    def generate_all(
        self, prompts: Sequence[Prompt], watch: Callable[[], None]
    ) -> Iterator[tuple[Prompt, GeneratedImage]]:
        """Yields each prompt with its drawing; calls `watch` every now and then, which may raise `Stopped`."""
        ...

    def device(self) -> str: ...


AnyGenerator = Generator | TokenGenerator | ShardGenerator
