"""Extracts the prompt table from the captions of a dataset."""

import argparse
import logging

import door

from emudrift.experiment import Experiment
from emudrift.image_list import match_members
from emudrift.prompts import check_images_exist, write_prompts
from emudrift.reference import prompt_table_of, scan_reference_images


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--output", required=True, help="prompts.parquet to write")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    table = prompt_table_of(experiment)
    if experiment.config.prompts.images is not None:
        images = experiment.path(experiment.config.prompts.images)
        if images.is_dir():
            check_images_exist(table, images, follow_links=True)
        else:
            match_members(table["file_name"], scan_reference_images(images), images)
    write_prompts(table, arguments.output)
    logging.info("%d prompts written to %s", len(table), arguments.output)


if __name__ == "__main__":
    main()
