"""What models that see are asked, and the interface of what answers, in two variants."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

from emudrift.generation.interface import Batching


@dataclass(frozen=True)
class Picture:
    """A picture of a task.

    Attributes:
        name: its file inside the task's folder or archive.
        sha256: of the file's bytes.
    """

    name: str
    sha256: str


@dataclass(frozen=True)
class ShownExample:
    """A question with its answer, shown before the one that is asked. `picture` None: shown without it."""

    text: str
    picture: Picture | None
    answer: str


@dataclass(frozen=True)
class AskedQuestion:
    """One row of a question table, as a variant of its task asks it.

    Attributes:
        text: what is asked, with the task's prompt around it.
        picture: the one that is shown, which in the control is another one's.
        examples: shown before it, in this order.
    """

    row: int
    question_id: int
    image_id: int
    text: str
    picture: Picture
    examples: tuple[ShownExample, ...] = ()

    @cached_property
    def digest(self) -> str:
        """sha256 over everything of it that can change an answer: texts, and the contents of pictures."""
        examples = [
            [each.text, None if each.picture is None else each.picture.sha256, each.answer] for each in self.examples
        ]
        return hashlib.sha256(json.dumps([self.text, self.picture.sha256, examples]).encode()).hexdigest()

    @property
    def pictures(self) -> list[Picture]:
        """All that are shown, in order."""
        return [*(each.picture for each in self.examples if each.picture is not None), self.picture]


@runtime_checkable
class BatchedAnswerer(Protocol):
    """Answers questions in batches, greedily. An answer depends on its question and the arm's settings only; in 16 bit also on
    the batching, which is therefore fixed per arm and variant."""

    batching: Batching
    """Questions per batch, and what prompt lengths are rounded up to."""
    effective_batch_size: int
    """Actual batch size; smaller than in `batching` after running out of memory."""

    def plan(self, questions: Sequence[AskedQuestion], batch_size: int | None) -> Batching:
        """Chooses the batching; `batch_size` None: as large as the device allows."""
        ...

    def lengths(self, questions: Sequence[AskedQuestion]) -> list[int]:
        """Padded prompt length of each question, in tokens: those of a batch are equal."""
        ...

    def answer(self, questions: Sequence[AskedQuestion]) -> list[str]:
        """Answers of a batch, in its order."""
        ...

    def device(self) -> str:
        """Description of the device, for the manifest."""
        ...


@runtime_checkable
class ShardAnswerer(Protocol):
    """Answers all questions of a shard in one go, in any order."""

    def answer_all(
        self, questions: Sequence[AskedQuestion], watch: Callable[[], None]
    ) -> Iterator[tuple[AskedQuestion, str]]:
        """Yields each question with its answer; calls `watch` periodically, which may raise `Stopped`."""
        ...

    def device(self) -> str: ...


Answerer = BatchedAnswerer | ShardAnswerer
