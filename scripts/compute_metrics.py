"""Computes one metric beyond FID of one arm for one N, from features that are there already."""

import argparse
from dataclasses import asdict
from pathlib import Path

import door

from emudrift.evaluation.fid.fid import features_of_same_images
from emudrift.config.experiment import Experiment
from emudrift.features.feature_files import load_features
from emudrift.data.reference_list import load_image_list
from emudrift.evaluation.metrics.compute import compute_metric
from emudrift.data.prompts import load_prompts
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--metric", required=True, choices=["kid", "cmmd", "precision_recall", "density_coverage"])
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--n", required=True, type=door.positive, help="number of images")
    parser.add_argument("--features", required=True, nargs="+", type=Path, help=".npy of the shards, in row order")
    parser.add_argument("--reference", required=True, type=Path, help="features of the reference, .npy")
    parser.add_argument("--images", type=Path, help="list of reference images (reference: same)")
    parser.add_argument("--prompts", type=Path, help="prompts.parquet (reference: same)")
    parser.add_argument("--output", required=True, type=Path, help="JSON to write")
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    arm, extractor = experiment.arm(arguments.arm), experiment.extractor(arguments.extractor)
    features, real = load_features(arguments.features, arguments.n), load_features([arguments.reference])
    selection = experiment.selections(extractor)[0]
    paired = selection == "same"
    if paired:
        prompts = load_prompts(arguments.prompts)[: arguments.n]
        real = features_of_same_images(prompts, load_image_list(arguments.images), real)
    reference = experiment.describe_reference(extractor, selection)
    shared = {
        "arm": arm.name,
        "model": arm.model,
        "guidance_scale": arm.guidance_scale,
        "extractor": arguments.extractor,
        "weights": experiment.weights_label(extractor),
        "n": arguments.n,
        "per_image": [],
        "reference": reference["images"],
        "reference_selection": reference["selection"],
        "reference_key": reference["key"],
    }
    found = compute_metric(arguments.metric, features, real, paired)
    write_json(arguments.output, {"values": [shared | asdict(each) for each in found]})


if __name__ == "__main__":
    main()
