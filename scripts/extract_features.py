"""Extracts the features of the images of one shard."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.data.prompts import load_prompts
from emudrift.features.feature_files import write_features
from emudrift.features.kept_features import keep, made_of, take_kept
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
    paths, names = experiment.paths, (experiment.arm(arguments.arm).name, arguments.rows)
    archive, manifest = paths.archive(*names), paths.manifest(*names)
    rows = RowRange.parse(arguments.rows)
    prompts = [prompt.prompt_id for prompt in load_prompts(paths.prompts)[rows.start : rows.stop]]
    sums = load_manifest(manifest).sha256
    images = read_images(archive, prompts, sums)
    label = " ".join((*names, arguments.extractor))
    path, kept = (each(arguments.extractor, *names) for each in (paths.features, paths.kept_features))
    made = made_of(experiment, arguments.extractor, sums, prompts)
    if take_kept(path, kept, made):
        logging.info("%s: the features of the same images exist; nothing is computed", label)
        return
    extractor = load_extractor(experiment, arguments.extractor)
    write_features(path, images, len(prompts), extractor, arguments.batch_size, label)
    keep(path, kept, made)


if __name__ == "__main__":
    main()
