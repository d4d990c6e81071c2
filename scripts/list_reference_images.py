"""Lists the reference images: all of a folder or archive, or those of the dataset."""

import argparse
import logging
from pathlib import Path

import door

from emudrift.data.dataset import prompt_table_of
from emudrift.config.experiment import Experiment
from emudrift.data.reference_list import ListedImage, match_members, write_image_list
from emudrift.data.image_sources import scan_reference_images


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--output", required=True, type=Path, help="CSV to write")
    door.enter(write_list, parser.parse_args())


def write_list(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    source = experiment.reference_images
    members = scan_reference_images(source)
    if experiment.config.reference.images == "dataset":
        file_names = sorted(set(prompt_table_of(experiment)["file_name"]))
        listed = match_members(file_names, members, source)
    else:
        listed = [ListedImage(member, member) for member in members]
    write_image_list(arguments.output, listed)
    logging.info("%d reference images listed in %s", len(listed), arguments.output)


if __name__ == "__main__":
    main()
