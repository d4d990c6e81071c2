"""Writes the pages of the human evaluation with their images, and the key that tells which image is whose."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.evaluation.human.pages import IMAGES, replaced_folder, write_gold, write_images, write_pages
from emudrift.evaluation.human.study import design_study, make_key, write_key
from emudrift.evaluation.human.two_way import ASSUMED


def main() -> None:
    door.enter(write, door.parser(__doc__).parse_args())


def write(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
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
        "study %s: %d raters, %d prompts, %d pairs of arms, %d votes asked of each rater; send the folder %s",
        key.study, len(key.raters), len(key.prompts), len(key.pairs), len(key.raters[0]), paths.rating_pages,
    )  # fmt: skip
    if not gold:
        logging.warning("no gold pairs (attention_checks: 0, or no photographs in prompts: images): raters who never have a "
                        "preference will not be recognised")  # fmt: skip
    raters, prompts = len(key.raters), len(key.prompts)
    if raters > 1:
        logging.info(
            "%d raters on %d prompts find a net vote of %.0f points of 100 four times in five if raters differ by %.0f points; "
            "twice the raters %.0f, twice the prompts %.0f points (docs/human-evaluation.md)",
            raters, prompts, *(100 * value for value in (ASSUMED.detectable(prompts, raters), ASSUMED.raters,
            ASSUMED.detectable(prompts, 2 * raters), ASSUMED.detectable(2 * prompts, raters))),
        )  # fmt: skip
    else:
        logging.warning(
            "one rater: there will be no finding, because what others would prefer is not known; ask for two or more"
        )


if __name__ == "__main__":
    main()
