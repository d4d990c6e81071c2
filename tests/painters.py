"""Shards in no time: experiments with a generator that paints noise and counts what it is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import experiment as small_experiment

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.data.dataset import prompt_table_of
from emudrift.data.prompt_table import write_prompts
from emudrift.data.prompts import Prompt
from emudrift.generation import run_shard as module
from emudrift.generation.interface import Batching, GeneratedImage
from emudrift.generation.run_shard import run_shard
from emudrift.runtime.json_files import write_json

DIGEST = "d" * 64

# What every record of a model has besides.
RECORD = {"generator": "emu3", "prompts": 0, "files": {}}


class Painter:
    """Draws noise from the seed, the size of its batch and the padding; counts what it is asked for."""

    size = (8, 16)
    attention: str | None = None

    def __init__(self, batching: Batching | None) -> None:
        self.batching = batching or Batching(4, 0)
        self.effective_batch_size = self.batching.batch_size
        self.asked: list[str] = []

    @property
    def batch_size(self) -> int:
        return self.batching.batch_size

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        return Batching(batch_size or 4, max(map(len, captions)), self.attention)

    def generate(self, prompts: Sequence[Prompt]) -> Iterator[GeneratedImage]:
        for prompt in prompts:
            self.asked.append(prompt.prompt_id)
            random = np.random.default_rng(prompt.seed)
            size = self.batching.batch_size
            yield GeneratedImage(random.integers(0, 256, (16, 8, 3), np.uint8), None, False, size)

    def device(self) -> str:
        return "easel"


class Group:
    """Experiments with results in one folder, and a generator that counts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.painters = folder, list[Painter]()

        def load(experiment, arm) -> Painter:
            self.painters.append(Painter(None))
            return self.painters[-1]

        monkeypatch.setattr(module, "load_generator", load)
        monkeypatch.setattr(module, "refuse_changed_files", lambda *_: None)

    def experiment(self, digest: str = DIGEST, **changes) -> Experiment:
        """Two emu3 arms of twenty images, ready to be generated."""
        changes = {"guidance_scales": [3]} | changes
        made = small_experiment(self.folder, **changes)
        made.paths = replace(made.paths, results=self.folder / "results" / made.config.name)
        write_prompts(prompt_table_of(made), made.paths.prompts)
        for model in made.model_names:
            write_json(made.paths.model_record(model), {"digest": digest, "revisions": {}, "model": model} | RECORD)
        return made

    def run(self, experiment: Experiment, shard: int | str = 0, arm: int = 0, batch_size: int | None = None) -> int:
        """Runs one shard; returns how many images were generated for it."""
        before = self.asked
        rows = experiment.shards()[shard] if isinstance(shard, int) else RowRange.parse(shard)
        run_shard(experiment, experiment.arms()[arm], rows, batch_size)
        return self.asked - before

    @property
    def asked(self) -> int:
        return sum(len(painter.asked) for painter in self.painters)


def archive_of(experiment: Experiment, shard: int = 0, arm: int = 0) -> Path:
    return experiment.paths.archive(experiment.arms()[arm].name, experiment.shards()[shard].name)


def manifest_of(experiment: Experiment, shard: int = 0, arm: int = 0) -> Path:
    return archive_of(experiment, shard, arm).with_suffix(".json")


def flipped(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
