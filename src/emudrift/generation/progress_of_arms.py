"""Progress of the arms, determined from the files on disk only."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.data.prompts import load_prompts
from emudrift.generation.attempts import FINISHED, KILLED, RUNNING, Attempt, History, images_per_hour
from emudrift.generation.existing_samples import scan_sources
from emudrift.generation.model_files import load_model_record
from emudrift.generation.shards import count_samples
from emudrift.runtime.locks import living_holder_of


@dataclass(frozen=True)
class ShardState:
    """State of a shard on disk.

    Attributes:
        total: number of images (of a shard of answers: answers) when complete.
        images: number of finished ones.
        done: its archive exists.
        rate: images per hour in the attempt that generated most of it; None if there are no images.
        worker: description of the job that holds its lock; None if there is none.
        error: how its last attempt ended, if that left it unfinished.
        size: bytes of its archive; 0 until it is done.
    """

    shard: RowRange
    total: int
    images: int
    done: bool
    rate: float | None
    worker: str | None
    error: str | None
    size: int


class Shards:
    """Shards that belong together, with their sums."""

    shards: list[ShardState]

    @property
    def total(self) -> int:
        return sum(shard.total for shard in self.shards)

    @property
    def images(self) -> int:
        return sum(shard.images for shard in self.shards)

    def count(self, state: str) -> int:
        """Number of shards that are `done`, `partial` or `to do`."""
        names = ["done" if each.done else "partial" if each.images or each.worker else "to do" for each in self.shards]
        return names.count(state)


@dataclass(frozen=True)
class ArmState(Shards):
    arm: Arm
    shards: list[ShardState]

    @property
    def label(self) -> str:
        """For people."""
        return self.arm.label


def survey(experiment: Experiment) -> list[ArmState]:
    """The state of all arms. Raises InputError for an invalid history."""
    states = []
    for view in experiment.sets.values():
        prompts = view.paths.prompts
        rows = pq.read_metadata(prompts).num_rows if prompts.exists() else None
        for arm in view.arms():
            states.append(ArmState(arm, [_shard_state(view, arm, shard, rows) for shard in view.shards()]))
    return states


def _shard_state(experiment: Experiment, arm: Arm, shard: RowRange, rows: int | None) -> ShardState:
    paths, names = experiment.paths, (arm.name, shard.name)
    total = shard.stop - shard.start if rows is None else max(0, min(shard.stop, rows) - shard.start)
    return shard_state(
        shard,
        total,
        paths.archive(*names),
        paths.manifest(*names),
        paths.attempts(*names),
        paths.lock(*names),
        lambda: count_samples(paths.partial(*names)),
    )


def shard_state(
    shard: RowRange, total: int, archive: Path, manifest: Path, history: Path, lock: Path, count: Callable[[], int]
) -> ShardState:
    """The state of a shard of images or answers.

    Args:
        total: images or answers when complete.
        archive: the finished ones, which no rule declares.
        history: of its attempts.
        count: how many are finished while the archive is not there.

    Raises:
        InputError: the history is invalid.
    """
    attempts = History(history).attempts()
    try:
        # Snakemake deletes the manifest of a job that it runs again; the archive and the copy of its manifest stay.
        size = archive.stat().st_size
    except FileNotFoundError:
        size = 0
    done = size > 0
    images = total if done else count()
    holder = living_holder_of(lock)
    return ShardState(
        shard,
        total,
        images,
        done,
        _rate(attempts, images),
        None if holder is None else str(holder),
        None if done or holder is not None else _error(attempts, manifest),
        size,
    )


def _rate(attempts: Sequence[Attempt], images: int) -> float | None:
    """As `images_per_hour`; a running attempt counts until now."""
    if attempts and attempts[-1].reason == RUNNING:
        last = attempts[-1]
        attempts = [*attempts[:-1], replace(last, end=time.time(), images=max(0, images - last.images_before))]
    return images_per_hour(attempts)


def _error(attempts: Sequence[Attempt], manifest: Path) -> str | None:
    """How the last attempt at an unfinished shard ended; None if there was none."""
    if not attempts:
        return None
    if attempts[-1].reason == FINISHED:
        again = f"; snakemake -c 1 -f {manifest} generates its images again" if manifest.exists() else ""
        return f"finished, but its archive is missing{again}"
    return KILLED if attempts[-1].reason == RUNNING else attempts[-1].reason


def count_existing(experiment: Experiment, state: ArmState) -> int:
    """How many of an arm's missing images exist in other archives, from where they are taken; at most, since captions and seeds
    are compared when they are taken. 0 as long as the prompt table or the model's record is missing."""
    view, model = experiment.set_of(state.arm.name), experiment.model(state.arm.model)
    paths = view.paths
    missing = [shard for shard in state.shards if not shard.done]
    record = paths.model_record(view.record_name(state.arm.model))
    if not missing or model.copies_images() or not paths.prompts.exists() or not record.exists():
        return 0
    sources = scan_sources(experiment, state.arm, load_model_record(record)["digest"])
    images = {prompt_id for source in sources if source.archive.exists() for prompt_id in source.manifest.sha256}
    ids = [prompt.prompt_id for prompt in load_prompts(paths.prompts)] if images else []
    found = 0
    for shard in missing:
        there = sum(prompt_id in images for prompt_id in ids[shard.shard.start : shard.shard.stop])
        found += max(0, there - shard.images)
    return found
