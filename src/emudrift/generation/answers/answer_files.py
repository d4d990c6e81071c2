"""Finished answers of a shard: JSON Lines in row order, and the manifest that tells how they were made."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from emudrift.errors import InputError
from emudrift.generation.answers.interface import AskedQuestion
from emudrift.generation.attempts import Attempt
from emudrift.runtime.atomic_files import sha256_of
from emudrift.runtime.json_files import load_record


class AnswerManifest(BaseModel):
    """How the answers of a shard were made.

    Attributes:
        arm: of a model that sees.
        variant: name of the task's variant.
        rows: of the question table: first, and one past the last.
        settings: of the arm; its fingerprint is computed from them.
        variant_settings: of the variant; the fingerprint in its name is computed from them.
        model_digest: sha256 over the model's files.
        revisions: commit of each downloaded part, by role.
        versions: of packages, by name.
        batch_size: fixed for arm and variant if it can change an answer, else None.
        answered_together: number of answers by effective batch size, where it can change them.
        answers_per_hour: 0 if no attempt answered anything.
        questions: of each, in row order, the first digits of the sha256 over what was asked and what the pictures contain.
        sha256: of the answers' file.
    """

    model_config = ConfigDict(frozen=True)

    arm: str
    variant: str
    rows: tuple[int, int]
    n_answers: int
    fingerprint: str
    settings: dict[str, Any]
    variant_settings: dict[str, Any]
    model_digest: str
    revisions: dict[str, str | None]
    versions: dict[str, str]
    batch_size: int | None
    answered_together: dict[int, int]
    answers_per_hour: float
    attempts: list[Attempt]
    questions: list[str]
    sha256: str


def load_answer_manifest(path: Path) -> AnswerManifest:
    """Loads a manifest. Raises InputError, naming file and key, if it is invalid."""
    return load_record(path, AnswerManifest, "remove it and run again: the answers next to it are kept")


def answer_lines(questions: Sequence[AskedQuestion], answers: Sequence[str]) -> bytes:
    """The file of a shard's answers: a function of questions and answers alone."""
    lines = [
        {"row": each.row, "question_id": each.question_id, "image_id": each.image_id, "answer": answer}
        for each, answer in zip(questions, answers, strict=True)
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def digests_of(questions: Sequence[AskedQuestion]) -> list[str]:
    """What a manifest says of the questions."""
    return [question.digest[:16] for question in questions]


def existing_answers(
    path: Path, manifest: AnswerManifest, questions: Sequence[AskedQuestion]
) -> dict[AskedQuestion, str]:
    """Answers to some of these questions that a finished file has. Raises InputError if it is damaged or missing."""
    check_answers(path, manifest)
    lines = [json.loads(line)["answer"] for line in path.read_bytes().splitlines()]
    rows = range(manifest.rows[0], manifest.rows[0] + len(lines))
    there = dict(zip(zip(rows, manifest.questions, strict=True), lines, strict=True))
    keys = zip(questions, digests_of(questions), strict=True)
    return {each: there[each.row, digest] for each, digest in keys if (each.row, digest) in there}


def check_answers(path: Path, manifest: AnswerManifest) -> None:
    """Raises InputError if a file of answers is missing, or not the one that its manifest names."""
    if not path.exists():
        raise InputError(f"{path}: is missing, but its manifest is there")
    if sha256_of(path) != manifest.sha256:
        raise InputError(f"{path}: is not what was answered, by the sha256 in its manifest")
