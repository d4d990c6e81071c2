"""Runs one shard of one arm from start to finish: lock, attempt history, images, archive and manifest."""

import logging
import platform
from importlib.metadata import version
from typing import Any

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.data.prompts import Prompt, load_prompts
from emudrift.errors import InputError
from emudrift.generation.archives import is_finished, remove_leftovers, write_archive
from emudrift.generation.attempts import History, Recording, images_per_hour
from emudrift.generation.batching import chosen_batching, fixed_batching
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.interface import AnyGenerator, BatchedGenerator
from emudrift.generation.manifest import Manifest, write_manifest
from emudrift.generation.registry import fixes_batch, is_unchanged, load_generator
from emudrift.generation.shards import Identity, PartialShard
from emudrift.runtime.jobs import Stopping, Walltime, end_of_job, stoppable
from emudrift.runtime.json_files import load_json
from emudrift.runtime.locks import Lock
from emudrift.runtime.progress import Progress

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "transformers", "peft", "diffusers", "numpy", "pillow")
"""Packages whose versions are recorded in the manifest."""


def run_shard(experiment: Experiment, arm: Arm, shard: RowRange, batch_size: int | None) -> None:
    """Generates the images of a shard and packs them; resumes earlier attempts, and waits for a concurrent one to finish.

    Args:
        batch_size: images per batch; None: as many as the device allows.

    Raises:
        InputError: there are no prompts for the shard, the model's files differ from those that were validated, the generator
            failed, or files cannot be written.
        Stopped: the job was asked to end, or its walltime is nearly over. Finished samples are kept.
    """
    ShardRun(experiment, arm, shard, batch_size).run()


class ShardRun:
    """One attempt at a shard."""

    def __init__(self, experiment: Experiment, arm: Arm, shard: RowRange, batch_size: int | None) -> None:
        self.experiment, self.arm, self.shard, self.batch_size = experiment, arm, shard, batch_size
        paths = experiment.paths
        self.archive, self.manifest = paths.archive(arm.name, shard.name), paths.manifest(arm.name, shard.name)
        self.model_record = paths.model_record(arm.model)
        self.model: dict[str, Any] = load_json(self.model_record)
        self.table = load_prompts(paths.prompts)
        self.prompts: list[Prompt] = self.table[shard.start : shard.stop]
        if not self.prompts:
            raise InputError(
                f"{paths.prompts}: has no row {shard.start:,}; sample_sizes require more images than there are prompts"
            )
        self.label = f"{arm.name} {shard.name}"

    def run(self) -> None:
        paths, arm, rows = self.experiment.paths, self.arm.name, self.shard.name
        with stoppable() as stopping, Lock(paths.lock(arm, rows), self.label) as lock:
            remove_leftovers(self.archive)
            identity = Identity(self.arm.fingerprint, self.model["digest"])
            partial = PartialShard(paths.partial(arm, rows), identity, None)
            if is_finished(self.archive, self.manifest, self.prompts, identity):
                logger.info("%s: already finished by another job", self.label)
                return
            history = History(paths.attempts(arm, rows))
            packed = self._generate(partial, history, stopping, lock)
            write_manifest(self.manifest, self._manifest(packed, history))
            stopping.ignore = True  # The shard is complete; if the job failed now, Snakemake would delete it.
            partial.tidy()
            logger.info("%s: %d images packed", self.label, len(self.prompts))

    def _generate(self, partial: PartialShard, history: History, stopping: Stopping, lock: Lock) -> dict[str, Any]:
        """Generates missing images and packs all of them; returns the corresponding fields of the manifest."""
        progress = Progress(self.label, len(self.prompts), "image")
        walltime = Walltime(end_of_job())
        with progress, Recording(history, lock.job, progress) as recording:

            def started(done: int) -> None:
                recording.begin(done, partial.newest())
                progress.skip(done)

            def loaded() -> AnyGenerator:
                generator = self._load()
                recording.device = generator.device()
                return generator

            def before_batch() -> None:
                stopping.check()
                lock.check()
                walltime.check()

            draw_shard(self.prompts, partial, loaded, started, progress.update, before_batch)
            lock.check()
            batching = self.experiment.paths.batching(self.arm.name)
            batch_sizes = partial.effective_batch_sizes(self.prompts)
            return {
                "batch_size": chosen_batching(batching).batch_size if fixes_batch(self.experiment, self.arm) else None,
                "drawn_together": dict(batch_sizes),
                "flagged": partial.flagged(self.prompts),
                "sha256": write_archive(self.archive, self.prompts, partial),
            }

    def _load(self) -> AnyGenerator:
        if not is_unchanged(self.experiment, self.model, self.table):
            raise InputError(
                f"models: {self.arm.model}: its files have changed since check_model validated them. If this is intended, remove "
                f"{self.model_record} and run again: all images of this model are then regenerated"
            )
        generator = load_generator(self.experiment, self.arm)
        if isinstance(generator, BatchedGenerator):
            captions = [prompt.caption for prompt in self.table]
            batching = generator.plan(captions, self.experiment.config.shard_size, self.batch_size)
            if fixes_batch(self.experiment, self.arm):
                batching = fixed_batching(self.experiment.paths.batching(self.arm.name), batching)
            generator.batching = batching
        return generator

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
            versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            vq=self.model.get("vq"),
            images_per_hour=round(images_per_hour(attempts) or 0, 1),
            attempts=attempts,
            **packed,
        )
