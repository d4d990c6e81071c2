"""Reads everything that is finished and compares it with the sha256 that was stored when it was written."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from emudrift.config.experiment import Experiment
from emudrift.config.paths import ExperimentPaths, existing, shortened
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError
from emudrift.generation.answers.answer_files import check_answers, load_answer_manifest
from emudrift.generation.archives import read_samples
from emudrift.generation.leftovers import scan_leftovers
from emudrift.generation.manifest import load_manifest
from emudrift.runtime.atomic_files import CHECKSUM_ENDING, check_sha256, sha256_of


@dataclass(frozen=True)
class Verified:
    """A file that was read.

    Attributes:
        size: bytes.
        fault: what is wrong; None if nothing is.
        target: what Snakemake is asked for to have the file made again; an archive and its manifest are one.
    """

    path: Path
    size: int
    fault: str | None
    target: Path


def verify(experiment: Experiment, threads: int) -> list[Verified]:
    """Reads archives, answers, manifests, features, measurements, tables and the reference's files, in the order of their paths.

    Not read: images in progress, figures, the gallery's thumbnails and the page, of which nothing is computed.

    Args:
        threads: files that are read at the same time.
    """
    paths = experiment.paths
    reads = [*_archives(paths), *_answers(paths), *_hashed_files(experiment)]
    with ThreadPoolExecutor(threads) as pool:
        return sorted(pool.map(lambda each: _verified(*each), reads), key=lambda each: each.path)


Read = tuple[Path, Path, Callable[[], None]]
"""A file, what Snakemake is asked for to have it made again, and a function that raises InputError if it is damaged."""


def _archives(paths: ExperimentPaths) -> Iterator[Read]:
    """Finished archives, and those whose manifest alone is left."""
    aside = paths.set_aside("{arm}", "{rows}", "{key}")
    patterns = [paths.archive("{arm}", "{rows}"), paths.manifest("{arm}", "{rows}"), aside]
    archives = {path.with_suffix(".tar") for pattern in patterns for path, _ in existing(pattern)}
    for path in archives:
        yield path, path.with_suffix(".json"), lambda path=path: _check_archive(path)  # type: ignore[misc]


def _answers(paths: ExperimentPaths) -> Iterator[Read]:
    """Finished answers, and those whose manifest alone is left; a manifest's copy counts, which Snakemake never deletes."""
    names = "{arm}", "{variant}", "{rows}"
    for tree in (paths, paths.judged):
        for path, found in existing(tree.kept_answers_manifest(*names)):
            answers = tree.answers(**found)
            yield answers, tree.answers_manifest(**found), lambda a=answers, m=path: _check_answers(a, m)  # type: ignore[misc]
        for path, _ in existing(tree.answers_set_aside(*names, "{key}")):
            manifest = path.with_suffix(".json")
            yield path, manifest, lambda a=path, m=manifest: _check_answers(a, m)  # type: ignore[misc]


def _check_answers(answers: Path, manifest: Path) -> None:
    check_answers(answers, load_answer_manifest(manifest))


def _hashed_files(experiment: Experiment) -> Iterator[Read]:
    """The files that have a sha256 next to them."""
    paths = experiment.paths
    files = [path.with_suffix("") for path in paths.results.rglob(f"*{CHECKSUM_ENDING}")]
    files += experiment.reference_files()
    # No rule declares these.
    made_by = {path: paths.manifest(**names) for path, names in existing(paths.kept_manifest("{arm}", "{rows}"))}
    for tree in (paths, paths.judged):
        answers = existing(tree.kept_answers_manifest("{arm}", "{variant}", "{rows}"))
        made_by |= {path: tree.answers_manifest(**names) for path, names in answers}
    fids = paths.kept_fid("{extractor}", "{selection}", "{arm}", "{n}")
    made_by |= {path: paths.fid(**names) for path, names in existing(fids)}
    for record, names in existing(paths.features_record("{extractor}", "{arm}", "{rows}")):
        features = paths.features(**names)
        files += [] if features.exists() else [features]
        made_by[record] = made_by[features] = _extracted(experiment, **names)
    for path in files:
        if path.exists() or path in made_by:
            yield path, made_by.get(path, path), lambda path=path: _check_file(path)  # type: ignore[misc]


def _extracted(experiment: Experiment, extractor: str, arm: str, rows: str) -> Path:
    """What Snakemake is asked for to have a shard's features made again."""
    if extractor not in experiment.extractor_names:  # They are left over.
        return experiment.paths.features(extractor, arm, rows)
    return experiment.extracted_files(extractor, arm, [RowRange.parse(rows)])[0]


def _check_file(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: is missing, but its record is there")
    check_sha256(path)


def _check_archive(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: is missing, but its manifest is there")
    found = load_manifest(path.with_suffix(".json"))
    if found.archive_sha256 is None:  # Of version 0.2 or older: every image has its own.
        if {sample.prompt_id: sample.record["sha256"][".png"] for sample in read_samples(path)} != found.sha256:
            raise InputError(f"{path}: its images are not those of its manifest")
    elif found.archive_sha256 != sha256_of(path):
        raise InputError(f"{path}: is not what was packed, by the sha256 in its manifest")


def _verified(path: Path, target: Path, check: Callable[[], None]) -> Verified:
    try:
        check()
        return Verified(path, path.stat().st_size, None, target)
    except InputError as error:
        return Verified(path, 0, str(error), target)


def damage(experiment: Experiment, found: Sequence[Verified]) -> str:
    """A line for each damaged file, then the commands that mend them; "" if nothing is damaged."""
    broken = [each for each in found if each.fault]
    if not broken:
        return ""
    root = experiment.paths.results.parents[1]
    left = {path: leftover for leftover in scan_leftovers(experiment) for path in leftover.files}
    of_left = {each.path: left[path] for each in broken for path in (each.path, *each.path.parents) if path in left}
    targets = dict.fromkeys(str(shortened(each.target, root)) for each in broken if each.path not in of_left)
    lines = [str(each.fault) for each in broken] + [f"{len(broken):,} of {len(found):,} files are damaged"]
    if targets:
        config = shortened(experiment.config_path, root)
        lines += ["to make them again, and generate only images that are damaged:"]
        lines += [f"  snakemake --configfile {config} -c 1 -f {' '.join(targets)}"]
    if of_left:
        lines += ["to remove what the config no longer names:"]
        lines += [f"  {command}" for command in dict.fromkeys(leftover.command for leftover in of_left.values())]
    return "\n".join(lines)
