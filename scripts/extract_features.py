"""Extracts the features of the images of one shard."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.data.prompts import load_prompts
from emudrift.features.feature_files import write_features
from emudrift.features.registry import load_extractor
from emudrift.generation.archives import read_images
from emudrift.generation.manifest import load_manifest


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--rows", required=True, help="range of prompt rows, such as 000000-000500")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images per step")
    door.enter(extract, parser.parse_args())


def extract(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    names = experiment.arm(arguments.arm).name, arguments.rows
    archive, manifest = experiment.paths.archive(*names), experiment.paths.manifest(*names)
    rows = RowRange.parse(arguments.rows)
    prompts = [prompt.prompt_id for prompt in load_prompts(experiment.paths.prompts)[rows.start : rows.stop]]
    images = read_images(archive, prompts, load_manifest(manifest).sha256)
    extractor = load_extractor(experiment, arguments.extractor)
    label = " ".join((*names, arguments.extractor))
    path = experiment.paths.features(arguments.extractor, *names)
    write_features(path, images, len(prompts), extractor, arguments.batch_size, label)


if __name__ == "__main__":
    main()
