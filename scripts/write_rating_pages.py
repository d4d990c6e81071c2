"""Writes the pages of the human evaluation with their images, and the key that tells which image is whose."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.evaluation.human.pages import IMAGES, replaced_folder, write_gold, write_images, write_pages
from emudrift.evaluation.human.planning import planned
from emudrift.evaluation.human.study import design_study, make_key, rated_set, write_key


def main() -> None:
    door.enter(write, door.parser(__doc__).parse_args())


def write(arguments: argparse.Namespace) -> None:
    experiment = rated_set(Experiment.load(arguments.config))
    paths = experiment.paths
    design, prompts = design_study(experiment), load_prompts(paths.prompts)
    with replaced_folder(paths.rating_pages) as new:
        images = write_images(experiment, design, prompts, new / IMAGES)
        gold = write_gold(experiment, prompts[: design.prompts], new / IMAGES)
        key = make_key(experiment, design, images | gold)
        write_pages(new, key, {prompt.prompt_id: prompt.caption for prompt in prompts})
    write_key(paths.rating_key, key)
    paths.votes.mkdir(exist_ok=True)
    logging.info(
        "study %s: %d raters, %d prompts, %d pairs of arms, up to %d votes asked of each rater; send the folder %s",
        key.study, len(key.raters), len(key.prompts), len(key.pairs), max(map(len, key.raters)), paths.rating_pages,
    )  # fmt: skip
    if not gold:
        logging.warning("no gold pairs (attention_checks: 0, or no photographs in prompts: images): raters who never have a "
                        "preference will not be recognised")  # fmt: skip
    for sentence in planned(key):
        logging.info("%s", sentence)


if __name__ == "__main__":
    main()
