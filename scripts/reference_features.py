"""Extracts the features of the reference images, once for all experiments that use them."""

import argparse
from pathlib import Path

import door

from emudrift.experiment import Experiment
from emudrift.extraction import load_configured_extractor, write_features
from emudrift.image_list import load_image_list
from emudrift.reference import iterate_images


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--images", required=True, type=Path, help="list of reference images")
    parser.add_argument("--output", required=True, type=Path, help=".npy to write: (images, dims) float32")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    extractor = load_configured_extractor(experiment, arguments.extractor)
    members = [image.member for image in load_image_list(arguments.images)]
    images = iterate_images(experiment.reference_images, members)
    write_features(arguments.output, images, len(members), extractor, arguments.batch_size, "reference")


if __name__ == "__main__":
    main()
