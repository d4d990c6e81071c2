"""Writes the tasks of the human evaluation for Label Studio and, where images have a secure address, for Mechanical Turk."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.data.prompts import load_prompts
from emudrift.evaluation.human.pages import replaced_folder
from emudrift.evaluation.human.platforms import label_studio_files, mturk_files
from emudrift.evaluation.human.study import load_key, rated_set
from emudrift.runtime.atomic_files import write_bytes_atomically


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument(
        "--images", required=True, help="address of the folder pages/images, such as https://example.org/study/images"
    )
    door.enter(export, parser.parse_args())


def export(arguments: argparse.Namespace) -> None:
    experiment = rated_set(Experiment.load(arguments.config))
    paths, images = experiment.paths, arguments.images.rstrip("/")
    key = load_key(paths.rating_key)
    captions = {prompt.prompt_id: prompt.caption for prompt in load_prompts(paths.prompts)}
    platforms = {"label_studio": label_studio_files(key, captions, images)}
    if images.startswith("https://"):
        platforms["mturk"] = mturk_files(key, captions, images)
    else:
        logging.info("no tasks for Mechanical Turk, which shows images from addresses that begin with https:// only")
    with replaced_folder(paths.rating_platforms) as new:
        for platform, files in platforms.items():
            (new / platform).mkdir(parents=True)
            for name, text in files.items():
                write_bytes_atomically(new / platform / name, text.encode())
    logging.info(
        "study %s: tasks for %s in %s; images are read from %s",
        key.study,
        " and ".join(platforms),
        paths.rating_platforms,
        images,
    )


if __name__ == "__main__":
    main()
