"""Shards of answers in no time: experiments with a question table, and a model that answers at once and counts."""

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import experiment as small_experiment
from PIL import Image

from emudrift.config.experiment import Experiment
from emudrift.data.questions import SCHEMA, Example, Question, Support
from emudrift.generation.answers import run_answers as module
from emudrift.generation.answers.interface import AskedQuestion
from emudrift.generation.interface import Batching
from emudrift.runtime.json_files import write_json

QUESTIONS = [
    Question(row, 100 + row, row, f"{row}.png", f"how many, {row} é?", row + 1, f"{(row + 1) % 20}.png")
    for row in range(20)
]


def write_pictures(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in range(26):
        Image.fromarray(np.full((8, 8, 3), name, np.uint8)).save(folder / f"{name}.png")


def write_questions(experiment: Experiment) -> None:
    """The question tables of all tasks: twenty questions, and six examples of other pictures."""
    for task in experiment.understanding.tasks:
        path = experiment.understanding.questions(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = zip(*map(astuple, QUESTIONS), strict=True)
        pq.write_table(pa.table([list(column) for column in columns], schema=SCHEMA), path)
        examples = [
            Example(question_id=n, image_id=n, file_name=f"{n}.png", question=f"why {n}?", answer=f"since {n}")
            for n in range(20, 26)
        ]
        write_json(experiment.understanding.support(task), Support(seed=0, examples=examples).model_dump())


class Clerk:
    """Answers with what was asked and shown and, in 16 bit, with the size of the batch; counts questions."""

    def __init__(self, asked: list[int], rounds: bool, dies: int = 0) -> None:
        self.asked, self.rounds, self.dies = asked, rounds, dies
        self.batching = Batching(4, 64)

    @property
    def effective_batch_size(self) -> int:
        return self.batching.batch_size

    def plan(self, questions: Sequence[AskedQuestion], batch_size: int | None) -> Batching:
        return Batching(batch_size or 4, 64)

    def lengths(self, questions: Sequence[AskedQuestion]) -> list[int]:
        return [64 * (1 + question.row % 2) for question in questions]

    def answer(self, questions: Sequence[AskedQuestion]) -> list[str]:
        if self.dies and len(self.asked) >= self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked += [question.row for question in questions]
        shown = [[question.text, *(each.sha256 for each in question.pictures)] for question in questions]
        size = self.effective_batch_size if self.rounds else ""
        return [f"é {hashlib.sha256(repr(each).encode()).hexdigest()[:8]}{size}" for each in shown]

    def device(self) -> str:
        return "desk"


def experiment_that_sees(folder: Path, digest: str = "d" * 64, task: Any = None, **changes: Any) -> Experiment:
    """Two emu3 models that are asked up to twenty questions."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = {"name": "vqa", "task": "vqa", "images": str(folder / "pictures"), "questions": "q.json"}
    asked |= {"number": 10, "shard_size": 10} | (task or {})
    made = small_experiment(folder, understanding=[asked], **changes)
    made.paths = replace(made.paths, results=folder / "results" / made.config.name, resources=folder / "resources")
    if not (folder / "pictures").exists():
        write_pictures(folder / "pictures")
    write_questions(made)
    record = {"generator": "emu3", "prompts": 0, "files": {}, "digest": digest, "revisions": {}}
    for model in made.model_names:
        write_json(made.paths.model_record(model), record | {"model": model})
    return made


class Desk:
    """Runs shards of answers with a clerk.

    Attributes:
        asked: rows, in the order in which they were answered.
    """

    def __init__(self, dies: int = 0) -> None:
        self.asked: list[int] = []
        self.dies = dies

    @contextmanager
    def load(self, experiment: Experiment, arm: Any, variant: Any) -> Iterator[Clerk]:
        yield Clerk(self.asked, arm.settings["dtype"] != "float32", self.dies)

    def run(
        self, experiment: Experiment, variant: int | str = 0, shard: int = 0, batch_size: int | None = None
    ) -> Path:
        """Answers a shard of the first arm; returns the file of answers."""
        understanding = experiment.understanding
        found = {each.label: each for each in understanding.variants()}
        chosen = found[variant] if isinstance(variant, str) else list(found.values())[variant]
        arm, rows = understanding.arms()[0], understanding.shards(chosen.task)[shard]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(module, "load_answerer", self.load)
            patched.setattr(module, "refuse_changed_files", lambda *_: None)
            module.run_answers(experiment, arm, chosen, rows, batch_size)
        return experiment.paths.answers(arm.name, chosen.name, rows.name)
