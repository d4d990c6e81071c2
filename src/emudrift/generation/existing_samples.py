"""Samples that exist already, in archives of other shard sizes, experiments or model names: taken and never generated again."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.paths import ExperimentPaths, existing
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.archives import intact_samples
from emudrift.generation.batching import chosen_batching, with_attention
from emudrift.generation.interface import Batching
from emudrift.generation.manifest import Manifest, Taken, load_manifest
from emudrift.generation.shards import Identity, PartialShard
from emudrift.runtime.atomic_files import sha256_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """An archive with images of the same settings and weights as those of an arm.

    Attributes:
        folder: of its arm.
    """

    archive: Path
    folder: Path
    manifest: Manifest

    @property
    def identity(self) -> Identity:
        return Identity(self.manifest.fingerprint, self.manifest.model_digest)

    @property
    def batching(self) -> Batching | None:
        """The batching that its arm has fixed, if any."""
        path = self.folder / "batch.json"
        return with_attention(chosen_batching(path), self.manifest.settings) if path.exists() else None


def scan_sources(experiment: Experiment, arm: Arm, digest: str) -> Iterator[Source]:
    """The archives of all experiments with images that the arm would generate, too; manifests that cannot be read are logged.

    Settings decide, except for labels (name of experiment and model, paths; the seed and the choice of captions, since every
    sample has its own), and the digest over the model's files.

    Args:
        digest: of the arm's model.
    """
    model = experiment.model(arm.model)
    wanted = model.image_settings(arm.settings)
    results = ExperimentPaths(experiment.paths.results.parent / "{name}", experiment.paths.resources)
    matching: dict[Path, bool] = {}
    # The kept ones first: Snakemake deletes a declared manifest before it runs a job again, and many may wait at the same time.
    patterns = (
        results.kept_manifest("{arm}", "{rows}"),
        results.manifest("{arm}", "{rows}"),
        results.set_aside("{arm}", "{rows}", "{key}").with_suffix(".json"),
    )
    seen: set[Path] = set()
    for pattern in patterns:
        for path, names in existing(pattern):
            there = ExperimentPaths(results.results.with_name(names["name"]), results.resources)
            archive = path.with_suffix(".tar") if "key" in names else there.archive(names["arm"], names["rows"])
            if archive in seen:
                continue
            folder = there.images(names["arm"])
            if matching.get(folder, True) is False:
                continue
            try:
                manifest = load_manifest(path)
            except InputError as error:
                logger.warning("%s", error)
                continue
            seen.add(archive)
            # All manifests of a folder have the same settings: its name ends in their fingerprint.
            attention = arm.settings.get("attention")
            matching[folder] = model.image_settings(manifest.settings) == wanted and attention in (
                "auto",
                manifest.attention_used,
            )
            if matching[folder] and manifest.model_digest == digest:
                yield Source(archive, folder, manifest)


def batchings_of(sources: Sequence[Source]) -> list[Batching]:
    """The batchings that the arms of the sources have fixed."""
    arms = {source.folder: source for source in sources}.values()
    return [source.batching for source in arms if source.batching is not None]


def take_samples(
    sources: Sequence[Source], prompts: Sequence[Prompt], partial: PartialShard, batching: Batching | None
) -> list[Taken]:
    """Copies every sample that the sources have of the missing prompts into the partial shard.

    Args:
        batching: if it can change a pixel, the arm's; only samples that were generated with the same one are taken.

    Returns:
        What was taken from each archive.

    Raises:
        InputError: the disk is full.
    """
    sources = [source for source in sources if source.archive.exists()]
    missing = partial.missing(prompts) if sources else set()
    wanted = {prompt.prompt_id: prompt for prompt in prompts if prompt.prompt_id in missing}
    found = []
    for source in sources:
        if not wanted.keys() & source.manifest.sha256.keys():
            continue
        if batching is None or _same_batching(source, batching):
            size = None if batching is None else batching.batch_size
            if count := _take(source.archive, source.identity, wanted, partial, size):
                versions = source.manifest.versions
                found.append(Taken(images=count, devices=source.manifest.devices, versions=versions))
    return found


def take_intact(archive: Path, prompts: Sequence[Prompt], partial: PartialShard, batch_size: int | None) -> None:
    """The same from the shard's own archive, which may be damaged, and its manifest lost.

    Args:
        batch_size: that its images were generated in, if it can change a pixel.
    """
    missing = partial.missing(prompts) if archive.exists() else set()
    wanted = {prompt.prompt_id: prompt for prompt in prompts if prompt.prompt_id in missing}
    _take(archive, partial.identity, wanted, partial, batch_size)


def _take(
    archive: Path, identity: Identity, wanted: dict[str, Prompt], partial: PartialShard, batch_size: int | None
) -> int:
    """Takes what is wanted, and removes it from `wanted`; returns the number of samples."""
    count = 0
    for sample in intact_samples(archive) if wanted else ():
        prompt = wanted.get(sample.prompt_id)
        if prompt is not None and identity.matches(sample.record, prompt):
            partial.write_members(prompt, sample.members, bool(sample.record.get("flagged")), batch_size)
            del wanted[prompt.prompt_id]
            count += 1
    if count:
        logger.info("%d images are taken from %s", count, archive)
    return count


def _same_batching(source: Source, batching: Batching) -> bool:
    """Whether all samples of an archive were generated with that batching, and none in a smaller batch for want of memory."""
    return source.batching == batching and set(source.manifest.drawn_together) <= {batching.batch_size}


def set_aside(
    paths: ExperimentPaths, arm: str, rows: str, prompts: Sequence[Prompt], identity: Identity
) -> Path | None:
    """Moves a shard's archive aside if it has images of other prompts or weights: they may be asked for again.

    Returns:
        Where it is now; None if there is nothing that the new archive will not hold.
    """
    archive, expected = paths.archive(arm, rows), {prompt.prompt_id: prompt for prompt in prompts}
    if not archive.exists():
        return None

    def stays(prompt_id: str, record: dict[str, object]) -> bool:
        return prompt_id in expected and identity.matches(record, expected[prompt_id])

    if all(stays(sample.prompt_id, sample.record) for sample in intact_samples(archive)):
        return None
    target = paths.set_aside(arm, rows, sha256_of(archive)[:12])
    target.parent.mkdir(parents=True, exist_ok=True)
    for manifest in (paths.kept_manifest(arm, rows), paths.manifest(arm, rows)):
        if manifest.exists():
            shutil.copyfile(manifest, target.with_suffix(".json"))
            break
    archive.replace(target)
    logger.warning("the archive has images of other prompts or weights; it is kept as %s", target)
    return target
