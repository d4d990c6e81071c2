"""Progress of the judge, determined from the files on disk only."""

from dataclasses import dataclass

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.generation.answers.partial_answers import count_answers
from emudrift.generation.judging.questions import asked_about
from emudrift.generation.progress_of_arms import Shards, ShardState, shard_state


@dataclass(frozen=True)
class JudgedState(Shards):
    """Shards of the judge's answers about an arm's pictures, or those of a check."""

    label: str
    shards: list[ShardState]


def survey_judged(experiment: Experiment) -> list[JudgedState]:
    """The state of all that is judged; empty before there are prompt tables. Raises InputError for a bad history or file."""
    following = experiment.following
    arms = [
        *((arm.name, f"judge: {arm.label}") for arm in following.arms()),
        *((c, f"judge: {c}") for c in following.checks),
    ]
    return [
        JudgedState(label, [_state(experiment, arm, shard) for shard in following.shards(arm)])
        for arm, label in arms
        if all(view.paths.prompts.exists() for view in following.sharing(arm))
    ]


def _state(experiment: Experiment, arm: str, shard: RowRange) -> ShardState:
    paths, names = experiment.paths.judged, (arm, experiment.following.name, shard.name)
    return shard_state(
        shard,
        len(asked_about(experiment, arm, experiment.following.rows(arm, shard))),
        paths.answers(*names),
        paths.answers_manifest(*names),
        paths.answer_attempts(*names),
        paths.answers_lock(*names),
        lambda: count_answers(paths.partial_answers(*names)),
    )
