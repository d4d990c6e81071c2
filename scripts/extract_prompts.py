"""Extracts the prompt table from the captions of a dataset."""

import argparse
import logging

import door

from emudrift.experiment import Experiment
from emudrift.prompts import check_images_exist, prompt_table, write_prompts


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--output", required=True, help="prompts.parquet to write")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    settings = experiment.config.prompts
    table = prompt_table(
        settings.source,
        experiment.path(settings.captions),
        caption=settings.caption,
        seed=experiment.config.seed,
        splits=settings.splits,
        caption_column=settings.caption_column,
        image_id_column=settings.image_id_column,
        file_name_column=settings.file_name_column,
    )
    if settings.images is not None:
        check_images_exist(table, experiment.path(settings.images))
    write_prompts(table, arguments.output)
    logging.info("%d prompts written to %s", len(table), arguments.output)


if __name__ == "__main__":
    main()
