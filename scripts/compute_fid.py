"""Computes the FID of one arm for one N, with its block-jackknife interval."""

import argparse
from pathlib import Path

import door

from emudrift.distance import compute_fid, features_of_same_images
from emudrift.experiment import Experiment
from emudrift.extraction import load_features
from emudrift.frechet import load_statistics, statistics
from emudrift.image_list import load_image_list
from emudrift.prompts import load_prompts
from emudrift.shards import write_manifest


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--n", required=True, type=door.positive, help="number of images")
    parser.add_argument("--features", required=True, nargs="+", type=Path, help=".npy of the shards, in row order")
    parser.add_argument(
        "--reference", required=True, type=Path, help="statistics .npz; for reference: same features .npy"
    )
    parser.add_argument("--images", type=Path, help="list of reference images (reference: same)")
    parser.add_argument("--prompts", type=Path, help="prompts.parquet (reference: same)")
    parser.add_argument("--output", required=True, type=Path, help="JSON to write")
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    arm, extractor = experiment.arm(arguments.arm), experiment.extractor(arguments.extractor)
    features = load_features(arguments.features, arguments.n)
    if experiment.same_images(extractor):
        prompts = load_prompts(arguments.prompts)[: arguments.n]
        names = load_image_list(arguments.images)
        partners = features_of_same_images(prompts, names, load_features([arguments.reference]))
        reference = statistics(partners)
    else:
        partners, reference = None, load_statistics(arguments.reference, extractor.dims)
    write_manifest(
        arguments.output,
        {
            "arm": arm.name,
            "model": arm.model,
            "guidance_scale": arm.guidance_scale,
            "extractor": arguments.extractor,
            "extractor_settings": experiment.extractor_settings(extractor),
            "random_weights": extractor.name == "inception-random",
            "reference": experiment.describe_reference(extractor) | {"n": reference.n},
            **compute_fid(features, reference, partners),
        },
    )


if __name__ == "__main__":
    main()
