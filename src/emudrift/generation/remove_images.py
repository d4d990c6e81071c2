"""Removes images, so that the next run generates them again."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from emudrift.config.experiment import Experiment
from emudrift.config.paths import existing
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError
from emudrift.generation.archives import remove_leftovers
from emudrift.runtime.locks import living_holder_of


def remove_images(experiment: Experiment, arm: str, rows: str | None) -> list[str]:
    """Removes the images of an arm, or of one of its shards, finished or not, and everything computed from them.

    The next run regenerates them. Features, distances and tables must go as well, since Snakemake would not notice a missing
    archive as long as they exist.

    Args:
        arm: its name, with or without its fingerprint.
        rows: name of a shard, or None for all.

    Returns:
        The names of the shards that were removed.

    Raises:
        InputError: there is no such arm or shard, or a job is running on it.
    """
    names = [
        each.name for each in experiment.arms() if arm in (each.name, each.name.removesuffix(f"-{each.fingerprint}"))
    ]
    if not names:
        raise InputError(f"there is no arm {arm!r}; the arms are {', '.join(a.name for a in experiment.arms())}")
    name, paths = names[0], experiment.paths
    there = {found["rows"] for pattern in paths.of_shard(name, "{rows}") for _, found in existing(pattern)}
    chosen = sorted(there) if rows is None else [rows]
    if rows is not None and rows not in there:
        raise InputError(
            f"{paths.images(name)}: has no shard {rows!r}; its shards are {', '.join(sorted(there)) or 'none'}"
        )
    for shard in chosen:
        holder = living_holder_of(paths.lock(name, shard))
        if holder is not None:
            raise InputError(f"{paths.images(name) / shard}: {holder} is working on it; stop that job first")
    for shard in chosen:
        remove_leftovers(paths.archive(name, shard))
        _remove(paths.of_shard(name, shard))
        for pattern in paths.made_of_images(name):
            _remove(path for path, found in existing(pattern) if _needs(found, shard))
    _remove(paths.made_of_all_arms())
    if rows is None:
        _remove([paths.batching(name)])
    return chosen


def _needs(found: dict[str, str], shard: str) -> bool:
    """Whether a file computed from an arm's images depends on that shard: it is the shard's own, covers its rows, or all."""
    if "n" in found:
        return int(found["n"]) > RowRange.parse(shard).start
    return found.get("rows", shard) == shard


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
