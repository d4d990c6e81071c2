"""exchange.csv, from the records of an experiment's distances, metrics and answers."""

import math
from collections.abc import Mapping, Sequence

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.errors import InputError
from emudrift.evaluation.exchange.measured import Measured, of_blocks, of_scores
from emudrift.evaluation.exchange.points import Axes, Point, Strength
from emudrift.evaluation.exchange.table import exchange_table
from emudrift.evaluation.fid.record import FidRecord, load_records
from emudrift.evaluation.metrics.record import MetricRecord, load_metric_files
from emudrift.evaluation.tables import write_table
from emudrift.evaluation.understanding.record import ScoreRecord, load_scores


def write_exchange_table(experiment: Experiment) -> None:
    """exchange.csv. Raises InputError where a record is missing or broken, or does not fit the others."""
    settings, note = experiment.exchange.settings(), experiment.config.note
    table = exchange_table(*load_points(experiment), experiment.baseline, settings, note)
    write_table(table, experiment.paths.exchange_table)


def load_points(experiment: Experiment) -> tuple[list[Point], Axes]:
    """Reads the records that `config.exchange.ExchangeRate` names.

    Raises:
        InputError: a record is missing or broken, or the answers of two models are to different questions.
    """
    rate = experiment.exchange
    files, seen = rate.drawing_files(), load_scores(rate.seeing_files())
    drawn: Sequence[FidRecord | MetricRecord]
    if experiment.config.exchange.metric == "clip_score":
        drawn = [each for each in load_metric_files(files) if each.metric == "clip_score"]
    else:
        drawn = load_records(files)
    return points_of(experiment, {each.model: each for each in seen}, drawn)


def points_of(
    experiment: Experiment,
    seen: Mapping[str, ScoreRecord],
    drawn: Sequence[FidRecord | MetricRecord],
) -> tuple[list[Point], Axes]:
    """A point for each arm that draws and whose model sees.

    Args:
        seen: by model.
        drawn: at one N, by one extractor against one reference.
    """
    first, answers = drawn[0], next(iter(seen.values()))
    if len({(tuple(each.question_ids), tuple(each.groups), each.metric) for each in seen.values()}) > 1:
        raise InputError(
            f"exchange: models answered different questions of {answers.variant}; remove their scores and run again"
        )
    found = [
        Point(
            strength_of(experiment.arm(record.arm)),
            math.nan if record.guidance_scale is None else record.guidance_scale,
            record.arm,
            of_scores(seen[record.model].per_question, seen[record.model].groups),
            _drawing(record),
            not isinstance(record, FidRecord) or record.reliable,
        )
        for record in drawn
        if record.model in seen
    ]
    return found, Axes(
        task=answers.variant,
        seeing_metric=answers.metric,
        seeing_n=answers.n,
        drawing_metric="fid" if isinstance(first, FidRecord) else first.metric,
        drawing_higher_is_better=not isinstance(first, FidRecord),
        extractor=first.extractor,
        weights=first.weights,
        reference_selection=first.reference.selection if isinstance(first, FidRecord) else first.reference_selection,
        drawing_n=first.n,
    )


def strength_of(arm: Arm) -> Strength:
    """The entry of the config that an arm comes from, with the strength of its adapter and its training step."""
    scale, step = arm.adapter_scale, arm.step
    return Strength(arm.family, math.nan if scale is None else scale, math.nan if step is None else float(step))


def _drawing(record: FidRecord | MetricRecord) -> Measured:
    if isinstance(record, FidRecord):
        return of_blocks(record.pseudo_values, record.block_sizes)
    return of_scores(record.per_image, record.groups)
