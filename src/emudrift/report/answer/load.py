"""The answer of an experiment that has its tables."""

from emudrift.config.experiment import Experiment
from emudrift.evaluation.ladder import load_ladders_of_sets
from emudrift.evaluation.tables import (
    COMPARISON_COLUMNS,
    DIFFERENCE_COLUMNS,
    FID_COLUMNS,
    SET_DIFFERENCE_COLUMNS,
    load_table,
)
from emudrift.generation.manifest import load_manifests
from emudrift.report.answer.whole import Answer, answer
from emudrift.report.sections.provenance import replaced_images


def load_answer(experiment: Experiment) -> Answer:
    """Raises InputError where a table is missing or broken."""
    paths, several = experiment.paths, len(experiment.sets) > 1
    return answer(
        experiment,
        load_table(paths.comparison_table, COMPARISON_COLUMNS),
        load_table(paths.fid_table, FID_COLUMNS),
        load_ladders_of_sets(experiment),
        load_table(paths.set_differences, SET_DIFFERENCE_COLUMNS) if several else None,
        load_table(paths.metric_differences, DIFFERENCE_COLUMNS) if several and experiment.has_metrics else None,
        replaced_images(load_manifests(experiment.manifests())),
    )
