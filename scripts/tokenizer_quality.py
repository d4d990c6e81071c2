"""PSNR and SSIM of the dataset's images through a model's VQ and back, image by image."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.evaluation.tables import write_table
from emudrift.evaluation.tokenizer_quality import tokenizer_quality


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="the tokenizer's arm, full name")
    door.enter(measure, parser.parse_args())


def measure(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config).set_of(arguments.arm)
    arm, paths = experiment.arm(arguments.arm), experiment.paths
    images = experiment.path(str(experiment.config.prompts.images))
    prompts = load_prompts(paths.prompts)[: max(experiment.config.sample_sizes)]
    archives = [paths.archive(arm.name, shard.name) for shard in experiment.shards()]
    table = tokenizer_quality(archives, prompts, images, (arm.settings["width"], arm.settings["height"]))
    write_table(table, paths.tokenizer_quality(arm.name))


if __name__ == "__main__":
    main()
