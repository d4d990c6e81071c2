"""Per-prompt scores that stand in one file per arm, as records like those of any metric."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emudrift.config.experiment import Experiment
from emudrift.config.judge import SCORE
from emudrift.config.metrics import Metric
from emudrift.data.prompts import Prompt, load_prompts
from emudrift.data.score_file import Scored, read_scores
from emudrift.errors import InputError
from emudrift.evaluation.metrics.compute import compute_metric
from emudrift.evaluation.metrics.measure import records_of, shared_fields
from emudrift.evaluation.metrics.record import MetricRecord
from emudrift.evaluation.tables import SCORE_COLUMNS, load_table, write_table


def import_scores(experiment: Experiment, name: str) -> None:
    """Reads a file of `scores:`, and writes the part of each arm (`ExperimentPaths.score`).

    Raises:
        InputError: as `data.score_file.read_scores`.
    """
    (asked,) = (each for each in experiment.config.scores if each.name == name)
    wanted: dict[str, Scored] = {}
    for view in experiment.sets.values():
        ids = [prompt.prompt_id for prompt in load_prompts(view.paths.prompts)]
        n, generated = max(view.config.sample_sizes), view.generated_arms()
        wanted |= {arm.name: Scored(arm, ids, n if arm in generated else 0) for arm in view.arms()}
    for arm, values in read_scores(experiment.path(asked.file), asked.column, [*wanted.values()]).items():
        write_scores(experiment.paths.score(name, arm), wanted[arm].prompt_ids[: wanted[arm].n], values)


def write_scores(path: Path, prompt_ids: Sequence[str], values: Sequence[float]) -> None:
    """Writes a score of an arm's first n images, in row order."""
    write_table(pd.DataFrame({"prompt_id": prompt_ids, "value": values}), path, float_format="%.17g")


def score_records(experiment: Experiment) -> list[MetricRecord]:
    """The records of all scores (`Experiment.score_files`). Raises InputError where a file is missing or does not fit."""
    if not experiment.score_files():
        return []
    prompts = {view.prompt_set: load_prompts(view.paths.prompts) for view in experiment.sets.values()}
    return [
        record
        for metric in experiment.config.score_metrics()
        for arm in experiment.scored_arms(metric.name)
        for record in _records(experiment.set_of(arm.name), metric, arm.name, prompts[arm.prompt_set])
    ]


def _records(experiment: Experiment, metric: Metric, arm: str, prompts: Sequence[Prompt]) -> list[MetricRecord]:
    n, path = max(experiment.config.sample_sizes), experiment.paths.score(metric.name, arm)
    table = load_table(path, SCORE_COLUMNS)
    there = set(table["prompt_id"]) if metric.name == SCORE else {prompt.prompt_id for prompt in prompts[:n]}
    chosen = [prompt for prompt in prompts[:n] if prompt.prompt_id in there]
    if list(table["prompt_id"]) != [prompt.prompt_id for prompt in chosen]:
        raise InputError(f"{path}: its prompts are not the first {n:,} of the experiment; remove it and run again")
    values = np.asarray(table["value"], dtype=np.float64)
    shared = shared_fields(experiment, arm, chosen) | {
        "extractor": "",
        "weights": "",
        "reference": "none",
        "reference_selection": "none",
        "reference_key": "",
    }
    return records_of(metric, compute_metric(metric, values), shared)
