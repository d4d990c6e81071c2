"""Computes the CLIPScore of every image of one arm: how well it fits its caption."""

import argparse
from pathlib import Path

import door
import numpy as np
import pandas as pd

from emudrift.evaluation.tables import write_table
from emudrift.config.experiment import Experiment
from emudrift.features.feature_files import load_features
from emudrift.evaluation.metrics.clip_score import clip_scores
from emudrift.data.prompts import load_prompts
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name of a clip extractor, with its fingerprint")
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--n", required=True, type=door.positive, help="number of images")
    parser.add_argument("--features", required=True, nargs="+", type=Path, help="images' .npy, in row order")
    parser.add_argument("--captions", required=True, nargs="+", type=Path, help="captions' .npy, in row order")
    parser.add_argument("--prompts", required=True, type=Path, help="prompts.parquet")
    parser.add_argument("--output", required=True, type=Path, help="JSON to write")
    parser.add_argument(
        "--per-image", required=True, type=Path, help="CSV to write: row, prompt_id, clip_score, caption"
    )
    door.enter(compute, parser.parse_args())


def compute(arguments: argparse.Namespace) -> None:
    experiment, n = Experiment.load(arguments.config), arguments.n
    arm, extractor = experiment.arm(arguments.arm), experiment.extractor(arguments.extractor)
    scores = clip_scores(load_features(arguments.features, n), load_features(arguments.captions, n))
    rows = [(p.row, p.prompt_id, s, p.caption) for p, s in zip(load_prompts(arguments.prompts), scores, strict=False)]
    write_table(pd.DataFrame(rows, columns=["row", "prompt_id", "clip_score", "caption"]), arguments.per_image)
    record = {
        "metric": "clip_score",
        "arm": arm.name,
        "model": arm.model,
        "guidance_scale": arm.guidance_scale,
        "extractor": arguments.extractor,
        "weights": experiment.weights_label(extractor),
        "n": n,
        "value": float(np.mean(scores)),
        "leave_one_out": [],
        "per_image": [float(score) for score in scores],
        "corrected": False,
        "method": "mean over images, t interval; differences paired by prompt",
        "reference": "captions of the prompts",
        "reference_selection": "same",
        "reference_n": n,
        "reference_key": "",
    }
    write_json(arguments.output, {"values": [record]})


if __name__ == "__main__":
    main()
