"""Collects the metrics beyond FID of all arms in one table, and their differences between models in another."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.metrics.comparison import difference_table, metric_table
from emudrift.evaluation.metrics.record import load_metric_files
from emudrift.evaluation.metrics.scores import score_records
from emudrift.evaluation.tables import write_table
from emudrift.generation.identical_arms import identical_arms
from emudrift.generation.manifest import load_manifests


def main() -> None:
    door.enter(collect, door.parser(__doc__).parse_args())


def collect(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    note, found = experiment.config.note, [*load_metric_files(experiment.metric_files()), *score_records(experiment)]
    records = [each.model_copy(update={"prompt_set": experiment.arm(each.arm).prompt_set}) for each in found]
    write_table(metric_table(records, note), experiment.paths.metric_table)
    generated = [record for record in records if experiment.model(record.model).generates]
    identical = identical_arms(experiment, load_manifests(experiment.manifests()))
    write_table(difference_table(generated, experiment.baseline, note, identical), experiment.paths.metric_differences)


if __name__ == "__main__":
    main()
