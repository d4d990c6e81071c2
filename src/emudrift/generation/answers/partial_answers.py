"""Answers in progress: a folder of finished batches, which no rule declares, so that no failure deletes it."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emudrift.generation.answers.interface import AskedQuestion
from emudrift.generation.shards import BROKEN
from emudrift.runtime.atomic_files import write_bytes_atomically


@dataclass(frozen=True)
class AnswerIdentity:
    """Settings and weights behind answers; those with a different identity are never mixed.

    Attributes:
        fingerprint: of the arm that sees.
        variant: name of the task's variant, which ends in its fingerprint.
        digest: sha256 over the model's files.
    """

    fingerprint: str
    variant: str
    digest: str


@dataclass(frozen=True)
class Answer:
    """`effective_batch_size`: of the batch it was made in, if that can change it, else None."""

    text: str
    effective_batch_size: int | None


class PartialAnswers:
    """Finished batches of a shard: one file for each, written atomically, with a sha256 over its content inside."""

    def __init__(self, folder: Path, identity: AnswerIdentity) -> None:
        self.folder, self.identity = folder, identity
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, answers: Mapping[AskedQuestion, str], effective_batch_size: int | None) -> None:
        """Keeps the answers of a batch. Raises InputError if the disk is full."""
        content = {
            "identity": vars(self.identity),
            "effective_batch_size": effective_batch_size,
            "answers": [[question.row, question.digest, answer] for question, answer in answers.items()],
        }
        first = min(question.row for question in answers)
        data = json.dumps(content | {"sha256": _sha256(content)}, ensure_ascii=False).encode()
        write_bytes_atomically(self.folder / f"{first:06d}-{_sha256(content)[:12]}.json", data)

    def read(self, questions: Sequence[AskedQuestion]) -> dict[int, Answer]:
        """Row to answer of the finished questions; damaged files, and answers to other questions, are ignored."""
        wanted = {question.row: question.digest for question in questions}
        found = {}
        for path in sorted(self.folder.glob("[0-9]*.json")):
            try:
                content = json.loads(path.read_bytes())
                if content.pop("sha256") != _sha256(content) or content["identity"] != vars(self.identity):
                    continue
                size = content["effective_batch_size"]
                for row, digest, text in content["answers"]:
                    if wanted.get(row) == digest:
                        found[row] = Answer(text, size)
            except (OSError, *BROKEN):
                continue
        return found

    def effective_batch_sizes(self, questions: Sequence[AskedQuestion]) -> Counter[int]:
        """Number of finished answers by effective batch size, where it can change them."""
        sizes = (answer.effective_batch_size for answer in self.read(questions).values())
        return Counter(size for size in sizes if size is not None)

    def newest(self) -> float | None:
        """Time at which the last batch was written, in seconds since the epoch; None without one."""
        return max((path.stat().st_mtime for path in self.folder.glob("[0-9]*.json")), default=None)

    def tidy(self) -> None:
        """Removes everything: the shard is packed."""
        shutil.rmtree(self.folder, ignore_errors=True)


def count_answers(partial: Path) -> int:
    """Number of finished answers in a shard's folder, whatever they belong to."""
    found = set()
    for path in partial.glob("[0-9]*.json"):
        try:
            found |= {row for row, _, _ in json.loads(path.read_bytes())["answers"]}
        except (OSError, *BROKEN):
            continue
    return len(found)


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
