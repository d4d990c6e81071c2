"""Computes the FID of one arm for one N, with its block-jackknife interval."""

import argparse
from pathlib import Path

import door

from emudrift.evaluation.fid.fid import compute_fid, features_of_same_images
from emudrift.config.experiment import Experiment
from emudrift.features.feature_files import load_features
from emudrift.features.statistics import load_reference_root
from emudrift.data.reference_list import load_image_list
from emudrift.data.prompts import load_prompts
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--selection", required=True, choices=["full", "same"], help="which real images")
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
    selection = experiment.selection(extractor, arguments.selection)
    if selection == "same":
        prompts = load_prompts(arguments.prompts)[: arguments.n]
        names = load_image_list(arguments.images)
        found = compute_fid(features, features_of_same_images(prompts, names, load_features([arguments.reference])))
        reference_n = arguments.n
    else:
        reference = load_reference_root(arguments.reference, extractor.dims)
        found, reference_n = compute_fid(features, reference), reference.n
    write_json(
        arguments.output,
        {
            "arm": arm.name,
            "model": arm.model,
            "guidance_scale": arm.guidance_scale,
            "extractor": arguments.extractor,
            "extractor_settings": experiment.extractor_settings(extractor),
            "weights": experiment.weights_label(extractor),
            "reference": experiment.describe_reference(extractor, selection) | {"n": reference_n},
            **found,
        },
    )


if __name__ == "__main__":
    main()
