"""Extracts the features of the images of one shard."""

import argparse
from pathlib import Path

import door

from emudrift.errors import InputError
from emudrift.config.experiment import Experiment
from emudrift.features.registry import load_extractor
from emudrift.features.feature_files import write_features
from emudrift.generation.archives import archive_ids, read_archive


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--archive", required=True, type=Path, help="tar of the shard")
    parser.add_argument("--manifest", required=True, type=Path, help="JSON of the shard")
    parser.add_argument(
        "--output", required=True, type=Path, help=".npy to write: (images, dims) float32, in row order"
    )
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    extractor = load_extractor(Experiment.load(arguments.config), arguments.extractor)
    images = (image for _, image in read_archive(arguments.archive))
    label = f"{arguments.archive.parent.name} {arguments.archive.stem} {arguments.extractor}"
    expected, found = list(door.load_json(arguments.manifest)["sha256"]), archive_ids(arguments.archive)
    if sorted(found) != sorted(expected):
        raise InputError(
            f"{arguments.archive}: holds {len(found)} images, its manifest {len(expected)}; remove both and run its shard again"
        )
    write_features(arguments.output, images, len(found), extractor, arguments.batch_size, label)


if __name__ == "__main__":
    main()
