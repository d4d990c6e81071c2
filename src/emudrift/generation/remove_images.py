"""Removes images, so that the next run generates them again."""

import shutil

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError
from emudrift.generation.shards import lock_of
from emudrift.runtime.atomic_files import TEMPORARY_PREFIX
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
    folder = experiment.results / "images" / names[0]
    there = {path.name.split(".")[0] for path in folder.glob("[0-9]*-*.*")}
    there |= {path.name for path in folder.glob(".partial/[0-9]*/")}
    chosen = sorted(there) if rows is None else [rows]
    if rows is not None and rows not in there:
        raise InputError(f"{folder}: has no shard {rows!r}; its shards are {', '.join(sorted(there)) or 'none'}")
    for shard in chosen:
        holder = living_holder_of(lock_of(folder / ".partial" / shard))
        if holder is not None:
            raise InputError(f"{folder / shard}: {holder} is working on it; stop that job first")
    for shard in chosen:
        for ending in (".tar", ".json", ".attempts.jsonl"):
            (folder / f"{shard}{ending}").unlink(missing_ok=True)
        shutil.rmtree(folder / ".partial" / shard, ignore_errors=True)
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}*-{shard}.*"):
            leftover.unlink()
        for path in experiment.results.glob(f"features/*/{folder.name}/{shard}.*"):
            path.unlink()
        for path in experiment.results.glob(f"fid/*/*/{folder.name}/*.json"):
            if not path.stem.isdigit() or int(path.stem) > RowRange.parse(shard).start:
                path.unlink()
        for path in experiment.results.glob(f"metrics/*/*/{folder.name}/*.*"):
            path.unlink()
    (experiment.results / "tokenizer" / f"{folder.name}.csv").unlink(missing_ok=True)
    for name in ("fid.csv", "comparison.csv", "metrics.csv", "metric_differences.csv", "report.html"):
        (experiment.results / name).unlink(missing_ok=True)
    if rows is None:
        (folder / "batch.json").unlink(missing_ok=True)
    return chosen
