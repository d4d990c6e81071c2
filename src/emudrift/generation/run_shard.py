"""Runs one shard of one arm from start to finish: lock, attempt history, images, archive and manifest."""

import logging
from functools import cached_property
from typing import Any

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.data.prompts import Prompt, load_prompts
from emudrift.errors import InputError
from emudrift.generation.archives import check_archive, remove_leftovers, write_archive
from emudrift.generation.attempts import History, images_per_hour
from emudrift.generation.batching import chosen_batching, fixed_batching, with_attention
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.existing_samples import (
    Source,
    batchings_of,
    scan_sources,
    set_aside,
    take_intact,
    take_samples,
)
from emudrift.generation.identical_arms import refuse_identical
from emudrift.generation.interface import AnyGenerator, BatchedGenerator, Batching, WarningGenerator
from emudrift.generation.manifest import Manifest, Taken, load_manifest, write_manifest
from emudrift.generation.model_files import load_model_record
from emudrift.generation.registry import cut_captions, fixes_batch, load_generator, refuse_changed_files
from emudrift.generation.shard_job import attempt_at, package_versions, restore_copies
from emudrift.generation.shards import Identity, PartialShard
from emudrift.runtime.jobs import Stopping, stoppable
from emudrift.runtime.locks import Lock

logger = logging.getLogger(__name__)


def run_shard(experiment: Experiment, arm: Arm, shard: RowRange, batch_size: int | None) -> None:
    """Generates the images of a shard and packs them; resumes earlier attempts, and waits for a concurrent one to finish.

    Args:
        batch_size: images per batch; None: as many as the device allows.

    Raises:
        InputError: there are no prompts for the shard, the model's files differ from those that were validated, the generator
            failed, files cannot be written, or the arm's images are those of another arm (`refuse_identical`).
        Stopped: the job was asked to end, or its walltime is nearly over. Finished samples are kept.
    """
    ShardRun(experiment, arm, shard, batch_size).run()


class ShardRun:
    """One attempt at a shard."""

    def __init__(self, experiment: Experiment, arm: Arm, shard: RowRange, batch_size: int | None) -> None:
        experiment = experiment.set_of(arm.name)
        self.experiment, self.arm, self.shard, self.batch_size = experiment, arm, shard, batch_size
        paths = experiment.paths
        self.archive, self.manifest = paths.archive(arm.name, shard.name), paths.manifest(arm.name, shard.name)
        self.model_record = paths.model_record(experiment.record_name(arm.model))
        self.model: dict[str, Any] = load_model_record(self.model_record)
        self.table = load_prompts(paths.prompts)
        self.prompts: list[Prompt] = self.table[shard.start : shard.stop]
        if not self.prompts:
            raise InputError(
                f"{paths.prompts}: has no row {shard.start:,}; sample_sizes require more images than there are prompts"
            )
        self.label = f"{arm.name} {shard.name}"
        self.kept = paths.kept_manifest(arm.name, shard.name)
        self.identity = Identity(arm.fingerprint, self.model["digest"])
        self.copies = experiment.model(arm.model).copies_images()
        self.batching, self.fixes_batch = paths.batching(arm.name), fixes_batch(experiment, arm)

    def run(self) -> None:
        paths, arm, rows = self.experiment.paths, self.arm.name, self.shard.name
        with stoppable() as stopping, Lock(paths.lock(arm, rows), self.label) as lock:
            remove_leftovers(self.archive)
            if self._is_finished():
                logger.info("%s: complete; every image is verified, nothing is generated", self.label)
                refuse_identical(self.experiment, self.arm)
                return
            refuse_identical(self.experiment, self.arm)
            partial = PartialShard(paths.partial(arm, rows), self.identity, None)
            history = History(paths.attempts(arm, rows))
            packed = self._generate(partial, history, stopping, lock)
            manifest = self._manifest(packed, history)
            write_manifest(self.kept, manifest)
            write_manifest(self.manifest, manifest)
            stopping.ignore = True  # The shard is complete; if the job failed now, Snakemake would delete it.
            partial.tidy()
            logger.info("%s: %d images packed", self.label, len(self.prompts))
            refuse_identical(self.experiment, self.arm)

    def _is_finished(self) -> bool:
        """Whether the archive is there, undamaged, and has this identity: then its manifest is written again, the same bytes.

        Snakemake deletes the manifest of every job that it runs again, for whatever reason; hence the copy.
        """
        if not self.archive.exists():
            return False
        for path in (self.kept, self.manifest):
            if not path.exists():
                continue
            try:
                found = load_manifest(path)
                contents = check_archive(self.archive, self.prompts, self.identity)
            except InputError as error:
                logger.warning("%s", error)
                continue
            own = (found.fingerprint, found.model_digest, found.sha256)
            if own == (self.identity.fingerprint, self.identity.digest, contents.sha256):
                restore_copies(path, (self.kept, self.manifest))
                return True
        return False

    def _generate(self, partial: PartialShard, history: History, stopping: Stopping, lock: Lock) -> dict[str, Any]:
        """Takes or generates missing images and packs all of them; returns the corresponding fields of the manifest."""
        with attempt_at(self.label, len(self.prompts), "image", history, stopping, lock) as work:

            def started(done: int) -> None:
                work.started(done, partial.newest())

            def loaded() -> AnyGenerator:
                work.recording.device = self.generator.device()
                return self.generator

            taken = self._take(partial)
            draw_shard(self.prompts, partial, loaded, started, work.progress.update, work.before_batch)
            lock.check()
            batch_sizes = partial.effective_batch_sizes(self.prompts)
            if not self.copies:
                set_aside(self.experiment.paths, self.arm.name, self.shard.name, self.prompts, self.identity)
            packed = write_archive(self.archive, self.prompts, partial)
            return {
                "batch_size": self._fixed().batch_size if self.fixes_batch else None,
                "attention": self._fixed().attention if self.fixes_batch else None,
                "drawn_together": dict(batch_sizes),
                "flagged": packed.flagged,
                "sha256": packed.sha256,
                "archive_sha256": packed.archive_sha256,
                "taken": taken,
            }

    def _take(self, partial: PartialShard) -> list[Taken]:
        """Takes what exists already: from this shard's own archive, where it is damaged or has other rows, and from others."""
        if self.copies:
            return []  # Nothing is generated: it is made again as fast as it is found.
        others = [source for source in self.sources if source.archive != self.archive]
        if self.fixes_batch and others and not self.batching.exists():
            _ = self.generator  # Fixes the batching.
        if self.fixes_batch and not self.batching.exists():
            return []
        batching = self._fixed() if self.fixes_batch else None
        take_intact(self.archive, self.prompts, partial, self._own_batch_size())
        return take_samples(others, self.prompts, partial, batching)

    def _own_batch_size(self) -> int | None:
        """Batch size of the images in this shard's archive, if it can change a pixel; the smallest one if memory ran out."""
        if not self.fixes_batch:
            return None
        found = load_manifest(self.kept).drawn_together if self.kept.exists() else {}
        return min(found, default=self._fixed().batch_size)

    def _fixed(self) -> Batching:
        """The arm's batching, where it can change a pixel."""
        return with_attention(chosen_batching(self.batching), self.arm.settings)

    @cached_property
    def sources(self) -> list[Source]:
        return list(scan_sources(self.experiment, self.arm, self.identity.digest))

    @cached_property
    def generator(self) -> AnyGenerator:
        refuse_changed_files(self.experiment, self.model, self.table)
        generator = load_generator(self.experiment, self.arm)
        if isinstance(generator, BatchedGenerator):
            captions = [prompt.caption for prompt in self.table]
            batching = generator.plan(captions, self.experiment.config.shard_size, self.batch_size)
            if self.fixes_batch:
                batching = fixed_batching(self.batching, self._as_existing(batching))
            generator.batching = batching
        return generator

    def _as_existing(self, planned: Batching) -> Batching:
        """Where batch size or attention are open, those of existing images with the same padding, so that they can be taken."""
        if self.batching.exists():
            return planned
        for each in batchings_of(
            self.sources
        ):  # With an attention that this arm's settings allow; sdpa runs everywhere.
            possible = each.attention in (None, "sdpa", planned.attention)
            if each.prompt_length == planned.prompt_length and self.batch_size in (None, each.batch_size) and possible:
                return each
        return planned

    def _warnings(self) -> list[str]:
        """Of the generator, where one was loaded."""
        found = self.__dict__.get("generator")
        return found.warnings() if isinstance(found, WarningGenerator) else []

    def _manifest(self, packed: dict[str, Any], history: History) -> Manifest:
        attempts = history.attempts()
        return Manifest(
            arm=self.arm.name,
            rows=(self.shard.start, self.shard.start + len(self.prompts)),
            n_images=len(self.prompts),
            fingerprint=self.arm.fingerprint,
            settings=self.arm.settings,
            model_digest=self.model["digest"],
            revisions=self.model["revisions"],
            versions=package_versions(),
            vq=self.model.get("vq"),
            captions_cut=cut_captions(self.experiment, self.arm, self.prompts),
            warnings=self._warnings(),
            images_per_hour=round(images_per_hour(attempts) or 0, 1),
            attempts=attempts,
            **packed,
        )
