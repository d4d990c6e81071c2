"""Extracts the prompt table from the captions of a dataset."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.data.dataset import check_dataset_images, prompt_table_of
from emudrift.data.prompt_table import write_prompts


def main() -> None:
    door.enter(extract, door.parser(__doc__).parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    table = prompt_table_of(experiment)
    check_dataset_images(experiment, table)
    write_prompts(table, experiment.paths.prompts)
    logging.info("%d prompts written to %s", len(table), experiment.paths.prompts)


if __name__ == "__main__":
    main()
