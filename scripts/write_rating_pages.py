"""Writes the pages of the human evaluation with their images, and the key that tells which image is whose."""

import argparse
import logging
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.human.pages import IMAGES, replaced_folder, write_images, write_pages
from emudrift.evaluation.human.study import design_study, make_key, write_key
from emudrift.data.prompts import load_prompts


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--prompts", required=True, type=Path, help="prompts.parquet")
    parser.add_argument("--pages", required=True, type=Path, help="folder to write, which is sent to the raters")
    parser.add_argument("--key", required=True, type=Path, help="JSON to write, which is not sent")
    door.enter(write, parser.parse_args())


def write(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    design, prompts = design_study(experiment), load_prompts(arguments.prompts)
    with replaced_folder(arguments.pages) as new:
        images = write_images(experiment, design, prompts, new / IMAGES)
        key = make_key(experiment, design, images)
        write_pages(new, key, {prompt.prompt_id: prompt.caption for prompt in prompts})
    write_key(arguments.key, key)
    (arguments.key.parent / "votes").mkdir(exist_ok=True)
    logging.info(
        "study %s: %d raters, %d prompts, %d pairs of arms, %d votes asked of each rater; send the folder %s",
        key.study, len(key.raters), len(key.prompts), len(key.pairs), len(key.raters[0]), arguments.pages,
    )  # fmt: skip


if __name__ == "__main__":
    main()
