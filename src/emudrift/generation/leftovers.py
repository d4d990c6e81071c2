"""What earlier settings made and the config no longer names, found by the patterns of `config.paths`: nothing else is touched."""

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emudrift.config.experiment import Experiment
from emudrift.config.paths import existing
from emudrift.runtime.atomic_files import checksum_file

logger = logging.getLogger(__name__)

ARM, SHARD, ANSWERS = "arm", "shard", "answers"


@dataclass(frozen=True)
class Leftover:
    """Files that belong together, and what `remove_images` calls them.

    Attributes:
        arm: as in ARM=...: a folder of images, or a path inside the results.
        rows: as in ROWS=...: a shard; "" for all.
        what: for people.
    """

    arm: str
    rows: str
    what: str
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(_size(path) for path in self.files)

    @property
    def command(self) -> str:
        return f"ARM={self.arm} " + (f"ROWS={self.rows} " if self.rows else "") + "snakemake remove_images -c 1"


def scan_leftovers(experiment: Experiment) -> list[Leftover]:
    """Arms, shards, features, measurements, prompt tables, models and tables that the config does not name, in this order."""
    paths = experiment.paths
    arms, extractors = {arm.name for arm in experiment.arms()}, set(experiment.extractor_names)
    views = experiment.sets.values()
    shards = {arm.name: {shard.name for shard in view.shards()} for view in views for arm in view.arms()}
    sizes = {arm.name: {str(n) for n in view.config.sample_sizes} for view in views for arm in view.arms()}
    metrics = {metric for metric, _ in experiment.metric_jobs()}
    scores = {metric.name for metric in experiment.config.score_metrics()}
    extracted = {
        path
        for each in extractors
        for arm in arms
        for path in experiment.extracted_files(each, arm, experiment.set_of(arm).shards())
    }
    embedded = {
        path
        for view in views
        for each in extractors
        for path in view.caption_files(each, max(view.config.sample_sizes))
    }
    groups: dict[tuple[int, str, str, str], set[Path]] = defaultdict(set)

    def add(order: int, arm: str, rows: str, what: str, path: Path) -> None:
        groups[order, arm, rows, what] |= {each for each in (path, checksum_file(path)) if each.exists()}

    for path, names in existing(paths.images("{arm}")):
        if names["arm"] not in arms:
            add(0, names["arm"], "", ARM, path)
    for pattern in paths.of_shard("{arm}", "{rows}"):
        for path, names in existing(pattern):
            if names["arm"] in arms and names["rows"] not in shards[names["arm"]]:
                add(1, names["arm"], names["rows"], SHARD, path)
    for pattern in paths.set_aside_files("{arm}", "{rows}"):
        for path, names in existing(pattern):
            if names["arm"] in arms:
                add(2, _inside(path.parent, paths.results), "", "images of other prompts or weights", path)
    for pattern in paths.made_of_images("{arm}"):
        for path, names in existing(pattern):
            if names["arm"] not in arms:
                add(0, names["arm"], "", ARM, path)
            elif names.get("extractor") not in extractors | {None} or names.get("metric") not in metrics | {None}:
                # features/<extractor>, metrics/<metric>, ...
                add(3, "/".join(path.relative_to(paths.results).parts[:2]), "", "of an extractor or a metric", path)
            elif names.get("score") not in scores | {None}:
                add(3, f"scores/{names['score']}", "", "of a score", path)
            elif pattern == paths.group_distances("{extractor}", "{arm}") and not experiment.config.groups:
                add(3, _inside(path.parent, paths.results), "", "of groups of prompts", path)
            elif names.get("rows") not in shards[names["arm"]] | {None} and path not in extracted:
                add(1, names["arm"], names["rows"], SHARD, path)
            elif names.get("n") not in sizes[names["arm"]] | {None}:
                add(4, f"n-{names['n']}", "", "of another N", path)
    for path, names in existing(paths.captions("{extractor}", "{rows}")):
        prompt_set = names["extractor"].partition("@")[2]
        if names["extractor"].partition("@")[0] not in extractors or prompt_set not in {"", *experiment.sets}:
            add(3, "/".join(path.relative_to(paths.results).parts[:2]), "", "of an extractor or a metric", path)
        elif path not in embedded:
            add(4, "captions", "", "other shards", path)
    tables = {view.paths.prompts for view in views}
    for pattern in (paths.prompt_table("{key}"), paths.results / "prompts.parquet"):
        for path, _ in existing(pattern):
            if path not in tables:
                add(5, path.name, "", "prompts of other settings", path)
    annotated = {view.annotations.table for view in experiment.sets.values()}
    for path, _ in existing(paths.annotations("{key}")):
        if path not in annotated:
            add(5, path.name, "", "columns of other prompts", path)
    for path, names in existing(paths.model_record("{model}")):
        if names["model"] not in experiment.record_names():
            add(5, _inside(path, paths.results), "", "model", path)
    _scan_answers(experiment, add)
    for path in _tables_without_setting(experiment):
        add(5, _inside(path, paths.results), "", "table", path)
    return [Leftover(*key[1:], tuple(sorted(groups[key]))) for key in sorted(groups)]


def remove_tables_without_setting(experiment: Experiment) -> None:
    """Removes tables that no setting makes any more, and the figures of one: the page says nothing of what they show."""
    for path in _tables_without_setting(experiment):
        logger.info("%s: no setting makes it any more; removed", path)
        checksum_file(path).unlink(missing_ok=True)
        path.unlink()


def _tables_without_setting(experiment: Experiment) -> list[Path]:
    paths = experiment.paths
    tables = [] if experiment.has_metrics else [paths.metric_table, paths.metric_differences]
    tables += [] if experiment.understanding.tasks else paths.made_of_all_answers()
    ladders = any(view.ladders() for view in experiment.sets.values())
    tables += [] if experiment.config.groups else [paths.group_table]
    tables += [] if len(experiment.sets) > 1 else [paths.set_differences]
    figures = [*([] if ladders else ["ladder"]), *([] if experiment.config.groups else ["groups"])]
    tables += [paths.figure(name, each) for name in figures for each in ("-data.csv", ".svg", ".pdf", ".png")]
    return [path for path in tables if path.exists()]


def _scan_answers(experiment: Experiment, add: Callable[[int, str, str, str, Path], None]) -> None:
    """Answers of models and variants that the config does not name, and what belongs to them."""
    paths, seeing = experiment.paths, experiment.understanding
    arms, variants = {arm.name for arm in seeing.arms()}, {variant.name: variant for variant in seeing.variants()}
    named = {
        (arm, name): {shard.name for shard in seeing.shards(each.task)}
        for arm in arms
        for name, each in variants.items()
    }
    for pattern in paths.of_answers("{arm}", "{variant}"):
        for path, names in existing(pattern):
            if (names["arm"], names["variant"]) not in named:
                add(6, f"answers/{names['arm']}/{names['variant']}", "", ANSWERS, path)
    for pattern in paths.of_answer_shard("{arm}", "{variant}", "{rows}"):
        for path, names in existing(pattern):
            place = names["arm"], names["variant"]
            if names["rows"] not in named.get(place, {names["rows"]}):
                add(6, "/".join(("answers", *place)), names["rows"], ANSWERS, path)
    for pattern in paths.answers_set_aside_files("{arm}", "{variant}", "{rows}"):
        for path, names in existing(pattern):
            if (names["arm"], names["variant"]) in named:
                add(6, _inside(path.parent, paths.results), "", "answers to other questions or of other weights", path)
    for path, names in existing(paths.checked_questions("{arm}")):
        if names["arm"] not in arms:
            add(6, _inside(path, paths.results), "", "check of another model", path)
    tasks = {seeing.key(task) for task in seeing.tasks}
    for pattern in paths.of_task("{task}"):
        for path, names in existing(pattern):
            if names["task"] not in tasks:
                add(6, _inside(path.parent, paths.results), "", "questions of other settings", path)


def _inside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
