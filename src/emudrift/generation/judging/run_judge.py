"""Judges one shard of pictures, with the machinery of answers: resumable, verified, never deleted by Snakemake."""

from collections.abc import Iterator
from contextlib import contextmanager

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.generation.answers.command import CommandAnswerer
from emudrift.generation.answers.interface import Answerer
from emudrift.generation.answers.partial_answers import AnswerIdentity
from emudrift.generation.answers.run_answers import AnswerJob, AnswerRun
from emudrift.generation.judging.check import load_judge_record, refuse_changed_judge
from emudrift.generation.judging.questions import load_judged, open_shown

COMMAND_TOKENS = 20
"""After which a program's answer is to be cut off."""


def run_judge(experiment: Experiment, arm: str, shard: RowRange, batch_size: int | None) -> None:
    """Asks the judge the questions of a shard.

    Args:
        arm: whose pictures, by its full name; or a check.
        batch_size: questions per batch; None: `transformers_judge.BATCH`.

    Raises:
        InputError: questions or pictures are missing, the judge's files have changed, or the judge failed.
        Stopped: the job was asked to end, or its walltime is nearly over. Finished answers are kept.
    """
    AnswerRun(judge_job(experiment, arm, shard), batch_size).run()


def judge_job(experiment: Experiment, arm: str, shard: RowRange) -> AnswerJob:
    """The shard as a job of answers."""
    following, record = experiment.following, load_judge_record(experiment)
    first, questions = load_judged(experiment, arm, shard)
    whose = None if arm in following.checks else experiment.arm(arm)
    return AnswerJob(
        paths=experiment.paths.judged,
        place=(arm, following.name, shard.name),
        label=f"judge: {arm if whose is None else whose.label}, {shard.name}",
        first=first,
        questions=questions,
        identity=AnswerIdentity(arm if whose is None else whose.fingerprint, following.name, record.digest),
        settings={} if whose is None else whose.settings,
        variant_settings=following.settings,
        revisions={"judge": record.revision},
        fixes_batch=following.settings.get("dtype", "float32") != "float32",
        load=lambda: _judge(experiment, arm, shard),
        refuse_changed=lambda: refuse_changed_judge(experiment, record),
    )


@contextmanager
def _judge(experiment: Experiment, arm: str, shard: RowRange) -> Iterator[Answerer]:
    following = experiment.following
    folder, settings = following.folder(), following.settings
    with open_shown(experiment, arm, shard) as files:
        if folder is None:
            yield CommandAnswerer(settings, "judge", COMMAND_TOKENS, files, experiment.project)
            return
        from emudrift.generation.judging.transformers_judge import TransformersJudge

        yield TransformersJudge(folder, settings, files)
