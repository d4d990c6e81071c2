"""Computes the FID of one arm for one N, with its block-jackknife interval."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.data.reference_list import load_image_list
from emudrift.evaluation.fid.fid import compute_fid, features_of_same_images
from emudrift.features.feature_files import load_features
from emudrift.features.statistics import load_reference_root
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name, with its fingerprint")
    parser.add_argument("--selection", required=True, choices=["full", "same"], help="which real images")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--n", required=True, type=door.positive, help="number of images")
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    experiment, n = Experiment.load(arguments.config), arguments.n
    arm, extractor = experiment.arm(arguments.arm), experiment.extractor(arguments.extractor)
    paths, key = experiment.paths, experiment.reference_key(extractor)
    features = load_features(experiment.feature_files(arguments.extractor, arm.name, n), n)
    selection = experiment.selection(extractor, arguments.selection)
    if selection == "same":
        prompts, names = load_prompts(paths.prompts)[:n], load_image_list(experiment.reference_list)
        real = load_features([paths.reference_features(key)])
        found, reference_n = compute_fid(features, features_of_same_images(prompts, names, real)), n
    else:
        reference = load_reference_root(paths.reference_statistics(key), extractor.dims)
        found, reference_n = compute_fid(features, reference), reference.n
    write_json(
        paths.fid(arguments.extractor, selection, arm.name, str(n)),
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
