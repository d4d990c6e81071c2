"""Extracts the features of the reference images, once for all experiments that use them."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.data.image_sources import iterate_images
from emudrift.data.reference_list import load_image_list
from emudrift.features.feature_files import write_features
from emudrift.features.registry import load_extractor


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    path = experiment.paths.reference_features(experiment.reference_key(experiment.extractor(arguments.extractor)))
    members = [image.member for image in load_image_list(experiment.reference_list)]
    images = iterate_images(experiment.reference_images, members)
    extractor = load_extractor(experiment, arguments.extractor)
    write_features(path, images, len(members), extractor, arguments.batch_size, "reference")


if __name__ == "__main__":
    main()
