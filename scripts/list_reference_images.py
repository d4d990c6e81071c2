"""Lists the reference images: all of a folder or archive, or those of the dataset."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.data.dataset import prompt_table_of
from emudrift.data.image_sources import scan_reference_images
from emudrift.data.reference_list import ListedImage, match_members, write_image_list


def main() -> None:
    door.enter(write_list, door.parser(__doc__).parse_args())


def write_list(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    source = experiment.reference_images
    members = scan_reference_images(source)
    if experiment.config.reference.images == "dataset":
        file_names = sorted(set(prompt_table_of(experiment)["file_name"]))
        listed = match_members(file_names, members, source)
    else:
        listed = [ListedImage(member, member) for member in members]
    write_image_list(experiment.reference_list, listed)
    logging.info("%d reference images listed in %s", len(listed), experiment.reference_list)


if __name__ == "__main__":
    main()
