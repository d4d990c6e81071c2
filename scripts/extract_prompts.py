"""Extracts the prompt table from the captions of a dataset."""

import argparse
import logging

import door

from emudrift.data.dataset import check_dataset_images, prompt_table_of
from emudrift.config.experiment import Experiment
from emudrift.data.prompts import write_prompts


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--output", required=True, help="prompts.parquet to write")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    table = prompt_table_of(experiment)
    check_dataset_images(experiment, table)
    write_prompts(table, arguments.output)
    logging.info("%d prompts written to %s", len(table), arguments.output)


if __name__ == "__main__":
    main()
