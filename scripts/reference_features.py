"""Extracts the features of the reference images, once for all experiments that use them."""

import argparse
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.features.registry import load_extractor
from emudrift.features.feature_files import write_features
from emudrift.data.reference_list import load_image_list
from emudrift.data.image_sources import iterate_images


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--images", required=True, type=Path, help="list of reference images")
    parser.add_argument("--output", required=True, type=Path, help=".npy to write: (images, dims) float32")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    extractor = load_extractor(experiment, arguments.extractor)
    members = [image.member for image in load_image_list(arguments.images)]
    images = iterate_images(experiment.reference_images, members)
    write_features(arguments.output, images, len(members), extractor, arguments.batch_size, "reference")


if __name__ == "__main__":
    main()
