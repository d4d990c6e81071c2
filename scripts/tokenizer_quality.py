"""PSNR and SSIM of the dataset's images through a model's VQ and back, image by image."""

import argparse
from pathlib import Path

import door

from emudrift.evaluation.tables import write_table
from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.evaluation.tokenizer_quality import tokenizer_quality


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="the tokenizer's arm, full name")
    parser.add_argument("--prompts", required=True, help="prompts.parquet")
    parser.add_argument("--archives", required=True, type=Path, nargs="+", help="of the arm, in row order")
    parser.add_argument("--output", required=True, type=Path, help="CSV to write: prompt_id, psnr, ssim")
    door.enter(measure, parser.parse_args())


def measure(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    settings = experiment.arm(arguments.arm).settings
    images = experiment.path(str(experiment.config.prompts.images))
    n = max(experiment.config.sample_sizes)
    prompts = load_prompts(arguments.prompts)[:n]
    table = tokenizer_quality(arguments.archives, prompts, images, (settings["width"], settings["height"]))
    write_table(table, arguments.output)


if __name__ == "__main__":
    main()
