"""Runs one shard of answers from start to finish: lock, attempt history, answers and manifest."""

import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emudrift.config.answer_paths import AnswerPaths
from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.paths import existing
from emudrift.config.row_range import RowRange
from emudrift.config.seeing import Variant
from emudrift.errors import InputError
from emudrift.generation.answers.answer_files import (
    AnswerManifest,
    answer_lines,
    check_answers,
    digests_of,
    existing_answers,
    load_answer_manifest,
)
from emudrift.generation.answers.interface import Answerer, AskedQuestion, BatchedAnswerer, ShardAnswerer
from emudrift.generation.answers.partial_answers import AnswerIdentity, PartialAnswers
from emudrift.generation.answers.questions import load_asked
from emudrift.generation.attempts import History, images_per_hour
from emudrift.generation.batching import chosen_batching, fixed_batching
from emudrift.generation.model_files import load_model_record
from emudrift.generation.registry import fixes_answer_batch, load_answerer, refuse_changed_files
from emudrift.generation.shard_job import Work, attempt_at, package_versions, restore_copies
from emudrift.runtime.atomic_files import sha256_of, write_bytes_atomically
from emudrift.runtime.jobs import Stopping, stoppable
from emudrift.runtime.json_files import write_json
from emudrift.runtime.locks import Lock

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnswerJob:
    """A shard of answers: what is asked, who answers, and where the answers lie.

    Attributes:
        place: arm, variant and rows, by their full names, which `paths` put the answers under.
        label: for people.
        first: row of the first question, also where there is none.
        identity: settings and weights behind the answers.
        settings, variant_settings, revisions: for the manifest.
        fixes_batch: whether the batch size can change an answer.
        load: what answers, ready within a `with` block.
        refuse_changed: raises InputError where the files that answer have changed since they were validated.
    """

    paths: AnswerPaths
    place: tuple[str, str, str]
    label: str
    first: int
    questions: Sequence[AskedQuestion]
    identity: AnswerIdentity
    settings: dict[str, Any]
    variant_settings: dict[str, Any]
    revisions: dict[str, str | None]
    fixes_batch: bool
    load: Callable[[], AbstractContextManager[Answerer]]
    refuse_changed: Callable[[], None]


def run_answers(experiment: Experiment, arm: Arm, variant: Variant, shard: RowRange, batch_size: int | None) -> None:
    """Answers the questions of a shard; resumes earlier attempts, and waits for a concurrent one to finish.

    Args:
        arm: of a model that sees.
        batch_size: questions per batch; None: as many as the device allows.

    Raises:
        InputError: questions or pictures are missing, the model's files differ from those that were validated, the model
            failed, or files cannot be written.
        Stopped: the job was asked to end, or its walltime is nearly over. Finished answers are kept.
    """
    paths = experiment.paths
    model: dict[str, Any] = load_model_record(paths.model_record(arm.model))
    # Where answers are made by other files than images, these have a digest of their own.
    digest = "answer_digest" if "answer_digest" in model else "digest"
    job = AnswerJob(
        paths=paths,
        place=(arm.name, variant.name, shard.name),
        label=f"{arm.model} {variant.label} {shard.name}",
        first=shard.start,
        questions=load_asked(experiment, variant, shard),
        identity=AnswerIdentity(arm.fingerprint, variant.name, model[digest]),
        settings=arm.settings,
        variant_settings=variant.settings,
        revisions=model["revisions"],
        fixes_batch=fixes_answer_batch(arm),
        load=lambda: load_answerer(experiment, arm, variant),
        refuse_changed=lambda: refuse_changed_files(experiment, model, [], digest),
    )
    AnswerRun(job, batch_size).run()


class AnswerRun:
    """One attempt at a shard of answers; `batch_size` as in `run_answers`."""

    def __init__(self, job: AnswerJob, batch_size: int | None) -> None:
        self.job, self.batch_size = job, batch_size
        self.paths, self.place, self.label = job.paths, job.place, job.label
        self.questions, self.identity, self.fixes_batch = job.questions, job.identity, job.fixes_batch
        self.answers, self.manifest = self.paths.answers(*self.place), self.paths.answers_manifest(*self.place)
        self.kept = self.paths.kept_answers_manifest(*self.place)
        self.batching = self.paths.answer_batching(*self.place[:2])

    def run(self) -> None:
        paths = self.paths
        with stoppable() as stopping, Lock(paths.answers_lock(*self.place), self.label) as lock:
            if self._is_finished():
                logger.info("%s: complete; every answer is verified, nothing is answered", self.label)
                return
            partial = PartialAnswers(paths.partial_answers(*self.place), self.identity)
            history = History(paths.answer_attempts(*self.place))
            self._answer(partial, history, stopping, lock)
            manifest = self._pack(partial, history).model_dump(mode="json")
            write_json(self.kept, manifest)
            write_json(self.manifest, manifest)
            stopping.ignore = True  # The shard is complete; if the job failed now, Snakemake would delete its manifest.
            partial.tidy()
            logger.info("%s: %d answers written", self.label, len(self.questions))

    def _is_finished(self) -> bool:
        """Whether the answers are there, undamaged, of this identity and these questions: then manifests are written again."""
        for path in (self.kept, self.manifest):
            if not path.exists():
                continue
            try:
                found = load_answer_manifest(path)
                check_answers(self.answers, found)
            except InputError as error:
                logger.warning("%s", error)
                continue
            if self._is_own(found) and found.questions == digests_of(self.questions):
                restore_copies(path, (self.kept, self.manifest))
                return True
        return False

    def _is_own(self, found: AnswerManifest) -> bool:
        return AnswerIdentity(found.fingerprint, found.variant, found.model_digest) == self.identity

    def _take(self, partial: PartialAnswers) -> None:
        """Takes answers that exist: of this shard when fewer were asked, set aside, or of shards of another size."""
        done = partial.read(self.questions)
        wanted = [question for question in self.questions if question.row not in done]
        if self.fixes_batch and not self.batching.exists():
            return
        size = chosen_batching(self.batching).batch_size if self.fixes_batch else None
        for path, manifest in self._existing():
            try:
                found = load_answer_manifest(manifest)
                same = self._is_own(found) and (size is None or set(found.answered_together) <= {size})
                taken = existing_answers(path, found, wanted) if same and wanted else {}
            except InputError as error:
                logger.warning("%s", error)
                continue
            if taken:
                partial.write(taken, size)
                logger.info("%d answers are taken from %s", len(taken), path)
                wanted = [question for question in wanted if question not in taken]

    def _existing(self) -> list[tuple[Path, Path]]:
        """Finished answers of this arm and variant, with their manifests."""
        (arm, variant, _), paths = self.place, self.paths
        kept = [
            (paths.answers(arm, variant, names["rows"]), path)
            for path, names in existing(paths.kept_answers_manifest(arm, variant, "{rows}"))
        ]
        aside = existing(paths.answers_set_aside(arm, variant, "{rows}", "{key}"))
        return kept + [(path, path.with_suffix(".json")) for path, _ in aside]

    def _answer(self, partial: PartialAnswers, history: History, stopping: Stopping, lock: Lock) -> None:
        with attempt_at(self.label, len(self.questions), "answer", history, stopping, lock) as work:
            self._take(partial)
            done = partial.read(self.questions)
            work.started(len(done), partial.newest())
            missing = [question for question in self.questions if question.row not in done]
            if not missing:
                return
            self.job.refuse_changed()
            with self.job.load() as answerer:
                work.recording.device = answerer.device()
                if isinstance(answerer, BatchedAnswerer):
                    self._answer_batches(answerer, done.keys(), partial, work)
                else:
                    _answer_all(answerer, missing, partial, work)
            lock.check()

    def _answer_batches(
        self, answerer: BatchedAnswerer, done: Collection[int], partial: PartialAnswers, work: Work
    ) -> None:
        batching = answerer.plan(self.questions, self.batch_size)
        answerer.batching = fixed_batching(self.batching, batching) if self.fixes_batch else batching
        for batch in batches(self.questions, answerer):
            new = [question for question in batch if question.row not in done]
            if new:
                work.before_batch()
                # The whole batch, so that a resumed shard gives the same bytes also where rounding depends on it.
                answers = dict(zip(batch, answerer.answer(batch), strict=True))
                size = answerer.effective_batch_size if self.fixes_batch else None
                partial.write({question: answers[question] for question in new}, size)
                work.progress.update(len(new))

    def _pack(self, partial: PartialAnswers, history: History) -> AnswerManifest:
        found, attempts = partial.read(self.questions), history.attempts()
        missing = [question.row for question in self.questions if question.row not in found]
        if missing:
            raise InputError(f"{self.answers}: {len(missing):,} answers are missing, the first of row {missing[0]:,}")
        data = answer_lines(self.questions, [found[question.row].text for question in self.questions])
        self._set_aside(data)
        write_bytes_atomically(self.answers, data)
        return AnswerManifest(
            arm=self.place[0],
            variant=self.place[1],
            rows=(self.job.first, self.job.first + len(self.questions)),
            n_answers=len(self.questions),
            fingerprint=self.identity.fingerprint,
            settings=self.job.settings,
            variant_settings=self.job.variant_settings,
            model_digest=self.identity.digest,
            revisions=self.job.revisions,
            versions=package_versions(),
            batch_size=chosen_batching(self.batching).batch_size if self.fixes_batch else None,
            answered_together=dict(partial.effective_batch_sizes(self.questions)),
            answers_per_hour=round(images_per_hour(attempts) or 0, 1),
            attempts=attempts,
            questions=digests_of(self.questions),
            sha256=sha256_of(self.answers),
        )

    def _set_aside(self, data: bytes) -> None:
        """Keeps answers to other questions, or of other weights, that are in the way: nothing finished is deleted."""
        if not self.answers.exists() or self.answers.read_bytes() == data:
            return
        target = self.paths.answers_set_aside(*self.place, sha256_of(self.answers)[:12])
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.kept.exists():
            shutil.copyfile(self.kept, target.with_suffix(".json"))
        self.answers.replace(target)
        logger.warning("there are answers to other questions, or of other weights; they are kept as %s", target)


def batches(questions: Sequence[AskedQuestion], answerer: BatchedAnswerer) -> Iterator[list[AskedQuestion]]:
    """All batches of a shard: questions of one padded length together, the short ones first, in row order."""
    by_length: dict[int, list[AskedQuestion]] = {}
    for question, length in zip(questions, answerer.lengths(questions), strict=True):
        by_length.setdefault(length, []).append(question)
    size = answerer.batching.batch_size
    for _, same in sorted(by_length.items()):
        for start in range(0, len(same), size):
            yield same[start : start + size]


def _answer_all(answerer: ShardAnswerer, missing: Sequence[AskedQuestion], partial: PartialAnswers, work: Work) -> None:
    work.before_batch()
    # Closed immediately on any failure, because it may have a program running.
    with closing(answerer.answer_all(missing, work.before_batch)) as answers:  # type: ignore[type-var]
        for question, answer in answers:
            partial.write({question: answer}, None)
            work.progress.update(1)
