"""What of an experiment is done and what is still to do, read from the disk alone: nothing is run, nothing is changed."""

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rich.console import RenderableType
from rich.text import Text

from emudrift.comparison import load_table, rows_of
from emudrift.errors import InputError
from emudrift.experiment import SELECTIONS, Arm, Experiment, Shard
from emudrift.files import TEMPORARY_PREFIX
from emudrift.history import FINISHED, KILLED, RUNNING, Attempt, History, images_per_hour
from emudrift.locks import living_holder_of
from emudrift.shards import count_samples, lock_of
from emudrift.terminal import duration, table
from emudrift.uncertainty import required_n

ASSUMED_RATE = 400.0
"""Images of 512 x 512 per GPU and hour, assumed until a shard has finished and says better. Not measured."""
BYTES_PER_PIXEL = 1.8
"""A PNG of a photograph, tar headers included, assumed until an archive is there."""
DIFFERENCES = (0.5, 1.0, 2.0)
"""Differences in FID that `plan` says the necessary N for."""


@dataclass(frozen=True)
class ShardState:
    """A shard as it lies on the disk.

    Attributes:
        total: images that it will hold.
        images: whole images that are there.
        done: its archive and manifest are there.
        rate: images per hour, of the attempt that made most of it; None if none made any.
        worker: who works on it, in words; None if nobody holds its lock.
        error: how its last attempt ended, where that left it unfinished.
        size: bytes of its archive; 0 until it is done.
    """

    shard: Shard
    total: int
    images: int
    done: bool
    rate: float | None
    worker: str | None
    error: str | None
    size: int


@dataclass(frozen=True)
class ArmState:
    arm: Arm
    shards: list[ShardState]

    @property
    def total(self) -> int:
        return sum(shard.total for shard in self.shards)

    @property
    def images(self) -> int:
        return sum(shard.images for shard in self.shards)

    def count(self, state: str) -> int:
        """Shards that are `done`, `partial` or `to do`."""
        names = ["done" if each.done else "partial" if each.images or each.worker else "to do" for each in self.shards]
        return names.count(state)


UNKNOWN = "unknown"
"""Where a rate is from that nobody knows."""


@dataclass(frozen=True)
class Rate:
    """Images per hour on one device, and where the number is from."""

    images_per_hour: float
    source: str


def survey(experiment: Experiment) -> list[ArmState]:
    """The state of all arms. Raises InputError for a broken history."""
    n = max(experiment.config.sample_sizes)
    prompts = experiment.results / "prompts.parquet"
    rows = len(pd.read_parquet(prompts, columns=[])) if prompts.exists() else None
    states = []
    for arm in experiment.arms():
        shards = [_shard_state(experiment, arm, shard, rows) for shard in experiment.shards(n)]
        states.append(ArmState(arm, shards))
    return states


def _shard_state(experiment: Experiment, arm: Arm, shard: Shard, rows: int | None) -> ShardState:
    archive, manifest = (experiment.images(arm.name, shard.name, ending) for ending in (".tar", ".json"))
    partial = archive.parent / ".partial" / shard.name
    total = shard.stop - shard.start if rows is None else max(0, min(shard.stop, rows) - shard.start)
    attempts = History(archive.with_suffix(".attempts.jsonl")).attempts()
    try:
        size = archive.stat().st_size if manifest.exists() else 0
    except FileNotFoundError:
        size = 0
    done = size > 0
    images = total if done else count_samples(partial)
    holder = living_holder_of(lock_of(partial))
    return ShardState(
        shard,
        total,
        images,
        done,
        _rate(attempts, images),
        None if holder is None else str(holder),
        None if done or holder is not None else _error(attempts),
        size,
    )


def _rate(attempts: Sequence[Attempt], images: int) -> float | None:
    """As `images_per_hour`; an attempt that still runs counts up to now."""
    if attempts and attempts[-1].reason == RUNNING:
        last = attempts[-1]
        attempts = [*attempts[:-1], replace(last, end=time.time(), images=max(0, images - last.images_before))]
    return images_per_hour(attempts)


def _error(attempts: Sequence[Attempt]) -> str | None:
    """How the last attempt at a shard that is not done ended; None if nobody began it."""
    if not attempts:
        return None
    if attempts[-1].reason == FINISHED:
        return "finished, but its archive or manifest is missing; the next run makes them again"
    return KILLED if attempts[-1].reason == RUNNING else attempts[-1].reason


def expected_rate(arm: Arm, states: Sequence[ArmState]) -> Rate:
    """How fast an arm will be drawn: as its own shards were, else as another arm's of the same size, else as assumed."""

    def measured(state: ArmState) -> float | None:
        rates = [shard.rate for shard in state.shards if shard.rate is not None]
        return len(rates) / sum(1 / rate for rate in rates) if rates else None

    size, generator = _tokens(arm), arm.settings["generator"]
    foreign = generator in ("diffusers", "command")  # Two of them may be of quite different speeds.
    for state in states:
        if state.arm.name == arm.name and (own := measured(state)):
            return Rate(own, "measured")
    for state in states:
        alike = (_tokens(state.arm), state.arm.settings["generator"]) == (size, generator)
        if alike and (not foreign or state.arm.model == arm.model) and (other := measured(state)):
            return Rate(other, f"as {state.arm.label}")
    if foreign:
        return Rate(math.inf, UNKNOWN)
    # The work for a token grows with the tokens before it; up to this size it is mostly that of reading the weights.
    return Rate(ASSUMED_RATE * 4096 / size, "assumed") if size else Rate(math.inf, "no drawing")


def _tokens(arm: Arm) -> int:
    """Visual tokens that are drawn for an image; 0 where none are."""
    return (
        0 if arm.settings["generator"] != "emu3" else arm.settings.get("width", 0) * arm.settings.get("height", 0) // 64
    )


def expected_bytes(arm: Arm, states: Sequence[ArmState]) -> float:
    """Bytes of an image in its archive: as in those that are there, else by its pixels."""
    archives = [shard for state in states if state.arm.name == arm.name for shard in state.shards if shard.done]
    if archives and sum(shard.images for shard in archives):
        return sum(shard.size for shard in archives) / sum(shard.images for shard in archives)
    return arm.settings.get("width", 512) * arm.settings.get("height", 512) * BYTES_PER_PIXEL + 4096


def plan_view(experiment: Experiment, states: Sequence[ArmState]) -> list[RenderableType]:
    """What `snakemake plan` shows."""
    rows, hours, needed = [], 0.0, 0.0
    for state in states:
        rate, left = expected_rate(state.arm, states), state.total - state.images
        known = math.isfinite(rate.images_per_hour)
        hours += left / rate.images_per_hour
        needed += left * expected_bytes(state.arm, states)
        rows.append(
            _counts(state)
            | {
                "images/h": f"{rate.images_per_hour:,.0f} ({rate.source})" if known else rate.source,
                _device_hours(experiment): f"{left / rate.images_per_hour:,.1f}",
            }
        )
    unknown = [state.arm.label for state in states if expected_rate(state.arm, states).source == UNKNOWN]
    folder = _existing(experiment.results)
    free = shutil.disk_usage(folder).free
    needed += sum(state.total for state in states) * sum(e.dims for e in experiment.config.extractors) * 4
    unsaid = f", and those of {', '.join(unknown)}, unknown until a shard has finished" if unknown else ""
    view: list[RenderableType] = [
        table(rows),
        "",
        f"{_device_hours(experiment)} left for drawing: {hours:,.1f}{unsaid}",
        f"disk space still needed: {needed / 1e9:,.1f} GB of {free / 1e9:,.1f} GB free in {folder}",
    ]
    if needed > free:
        warning = "that is more than is free; shards stop when the disk is full, and go on when there is space"
        view.append(Text(f"WARNING: {warning}", style="yellow"))
    view += power_view(experiment)
    if any(expected_rate(state.arm, states).source == "assumed" for state in states):
        said = "an hour on one GPU, until a shard has finished and says better"
        view += ["", Text(f"assumed: {ASSUMED_RATE:,.0f} images of 512 x 512 {said}", style="dim")]
    return view


def power_view(experiment: Experiment) -> list[RenderableType]:
    """How many images are enough, from the differences that an earlier run found at its largest N; empty without one.

    A table that cannot be read is named, and keeps nobody from the rest of the plan: the next run makes a new one.
    """
    path = experiment.results / "comparison.csv"
    try:
        found = load_table(path) if path.exists() else pd.DataFrame()
    except InputError as error:
        return ["", Text(f"how many images are enough cannot be said yet: {error}", style="yellow")]
    if found.empty:
        return []
    found = found[found["n"] == found["n"].max()]
    rows = []
    for pair in rows_of(found):
        scale = "" if pd.isna(pair.guidance_scale) else f", guidance {pair.guidance_scale:g}"
        needed = {f"{size:g} FID": f"{required_n(pair.standard_error, pair.n, size):,}" for size in DIFFERENCES}
        seen = {"extractor": pair.extractor, "reference": SELECTIONS[pair.reference_selection]}
        rows.append({"pair": f"{pair.model} − {pair.baseline}{scale}"} | seen | needed)
    said = (
        "N per arm that finds a true difference of this size with 80 % power, by the spread of the differences at N ="
    )
    return ["", f"{said} {int(found['n'].iloc[0]):,}:", table(rows)]


def status_view(experiment: Experiment, states: Sequence[ArmState]) -> list[RenderableType]:
    """What `snakemake status` shows."""
    rows, failed, working = [], [], []
    for state in states:
        busy = [shard for shard in state.shards if shard.worker and not shard.done]
        speed = sum(shard.rate or 0 for shard in busy)
        left = state.total - state.images
        rows.append(
            _counts(state)
            | {
                "working": len(busy),
                "images/h": f"{speed:,.0f}" if speed else "–",
                "time left": "done" if not left else duration(3600 * left / speed) if speed else "–",
            }
        )
        working += [f"  {state.arm.label}, {shard.shard.name}: {shard.worker}" for shard in busy]
        failed += [
            Text.assemble(f"  {state.arm.label}, {shard.shard.name}: ", (shard.error, "red"))
            for shard in state.shards
            if shard.error
        ]
    view: list[RenderableType] = [table(rows)]
    view += ["", f"at work ({len(working)}):", *working] if working else []
    view += ["", f"stopped before their end, and not at work now ({len(failed)}):", *failed] if failed else []
    view += ["", Text(f"logs: {experiment.results / 'logs'}", style="dim")] if failed else []
    return view


def _counts(state: ArmState) -> dict[str, object]:
    """The first columns of both tables."""
    return {
        "arm": state.arm.label,
        "done": state.count("done"),
        "partial": state.count("partial"),
        "to do": state.count("to do"),
        "images": f"{state.images:,} of {state.total:,}",
    }


def remove_images(experiment: Experiment, arm: str, rows: str | None) -> list[str]:
    """Removes the images of an arm, or of one of its shards, finished or not, and what was made of them.

    The next run draws them anew. Without its features, distances and tables Snakemake would not miss an archive.

    Args:
        arm: its name, with or without its fingerprint.
        rows: name of a shard, or None for all.

    Returns:
        The names of the shards that were removed.

    Raises:
        InputError: no such arm or shard, or a job is at work on it.
    """
    names = [
        each.name for each in experiment.arms() if arm in (each.name, each.name.removesuffix(f"-{each.fingerprint}"))
    ]
    if not names:
        raise InputError(f"there is no arm {arm!r}; the arms are {', '.join(a.name for a in experiment.arms())}")
    folder = experiment.results / "images" / names[0]
    there = {path.name.split(".")[0] for path in folder.glob("[0-9]*-*.*")}
    there |= {path.name for path in folder.glob(".partial/[0-9]*/")}
    chosen = sorted(there) if rows is None else [rows]
    if rows is not None and rows not in there:
        raise InputError(f"{folder}: has no shard {rows!r}; there are {', '.join(sorted(there)) or 'none'}")
    for shard in chosen:
        holder = living_holder_of(lock_of(folder / ".partial" / shard))
        if holder is not None:
            raise InputError(f"{folder / shard}: {holder} is at work on it; end that first")
    for shard in chosen:
        for ending in (".tar", ".json", ".attempts.jsonl"):
            (folder / f"{shard}{ending}").unlink(missing_ok=True)
        shutil.rmtree(folder / ".partial" / shard, ignore_errors=True)
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}*-{shard}.*"):
            leftover.unlink()
        for path in experiment.results.glob(f"features/*/{folder.name}/{shard}.*"):
            path.unlink()
        for path in experiment.results.glob(f"fid/*/*/{folder.name}/*.json"):
            if not path.stem.isdigit() or int(path.stem) > Shard.parse(shard).start:
                path.unlink()
        for path in experiment.results.glob(f"metrics/*/*/{folder.name}/*.*"):
            path.unlink()
    (experiment.results / "tokenizer" / f"{folder.name}.csv").unlink(missing_ok=True)
    for name in ("fid.csv", "comparison.csv", "metrics.csv", "metric_differences.csv", "report.html"):
        (experiment.results / name).unlink(missing_ok=True)
    if rows is None:
        (folder / "batch.json").unlink(missing_ok=True)
    return chosen


def _device_hours(experiment: Experiment) -> str:
    return "GPU-hours" if experiment.config.device == "cuda" else "CPU-hours"


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return path if path.exists() else _existing(path.parent)
