"""The interface of image generators, in three variants."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pydantic.dataclasses
from pydantic import ConfigDict, Field

from emudrift.data.prompts import Prompt


@dataclass(frozen=True)
class GeneratedImage:
    """One generated image.

    Attributes:
        image: (height, width, 3) uint8, RGB.
        tokens: (h, w) integer codes of the visual tokenizer, or None for models without visual tokens.
        flagged: a safety checker replaced the image by a black one.
        effective_batch_size: size of its batch if that can affect pixels, else None.
    """

    image: np.ndarray
    tokens: np.ndarray | None = None
    flagged: bool = False
    effective_batch_size: int | None = None


class Generator(Protocol):
    """Generates images for prompts. An image depends on its prompt, its seed and the arm's settings only."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) in pixels of every image, or None if sizes vary."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of prompts passed to `generate` at once."""
        ...

    def generate(self, prompts: Sequence[Prompt]) -> Iterator[GeneratedImage]:
        """Yields one image per prompt, in the same order."""
        ...

    def device(self) -> str:
        """Description of the device, for the manifest."""
        ...


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Batching:
    """How prompts are batched and attended to. In 16 bit all of it affects rounding and thereby tokens, so it is fixed per arm.

    Attributes:
        batch_size: images per batch.
        prompt_length: tokens that every prompt is padded to.
        attention: kernel for attention; None for models without a choice, and where version 0.2 fixed the batching.
    """

    batch_size: int = Field(ge=1)
    prompt_length: int = Field(ge=0)
    attention: str | None = None


class Batched:
    """What has a batching: setting it starts again from its whole batch size, which running out of memory may have halved."""

    effective_batch_size: int
    _batching: Batching

    @property
    def batching(self) -> Batching:
        return self._batching

    @batching.setter
    def batching(self, batching: Batching) -> None:
        self._batching, self.effective_batch_size = batching, batching.batch_size


@runtime_checkable
class BatchedGenerator(Protocol):
    """A generator whose batching is planned in advance, since it can affect rounding."""

    batching: Batching
    effective_batch_size: int
    """Actual batch size; smaller than in `batching` after running out of memory."""

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        """Chooses the batching; `batch_size` None: as large as the device allows."""
        ...


@runtime_checkable
class TokenGenerator(BatchedGenerator, Protocol):
    """Samples visual tokens first and decodes them to pixels afterwards, so that the expensive part is never repeated."""

    @property
    def size(self) -> tuple[int, int]: ...

    def codes(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Samples visual tokens, (batch, h, w) integers, one image per prompt."""
        ...

    @property
    def overlaps(self) -> bool:
        """Whether `decode` should be called in another thread while `codes` runs, image by image."""
        ...

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decodes visual tokens to images (batch, height, width, 3) uint8."""
        ...

    def device(self) -> str: ...


@runtime_checkable
class ShardGenerator(Protocol):
    """Generates all missing images of a shard in one go, in any order."""

    @property
    def size(self) -> tuple[int, int]: ...

    def generate_all(
        self, prompts: Sequence[Prompt], watch: Callable[[], None]
    ) -> Iterator[tuple[Prompt, GeneratedImage]]:
        """Yields each prompt with its image; calls `watch` periodically, which may raise `Stopped`."""
        ...

    def device(self) -> str: ...


@runtime_checkable
class WarningGenerator(Protocol):
    """A generator whose libraries warn of what is not as it was asked for."""

    def warnings(self) -> list[str]:
        """The warnings so far that tell of other images, each once."""
        ...


AnyGenerator = Generator | TokenGenerator | ShardGenerator
