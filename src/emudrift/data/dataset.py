"""The dataset of an experiment: its captions as a prompt table, and a check that its images exist."""

import logging

import pandas as pd

from emudrift.config.experiment import Experiment
from emudrift.data.image_sources import scan_reference_images
from emudrift.data.prompt_table import check_images_exist, prompt_table, write_prompts
from emudrift.data.reference_list import ListedImage, match_members, write_image_list

logger = logging.getLogger(__name__)


def prompt_table_of(experiment: Experiment) -> pd.DataFrame:
    """The prompt table defined by the config. Raises InputError as `prompt_table` does."""
    settings = experiment.config.prompts
    return prompt_table(
        settings.source,
        experiment.path(settings.captions),
        caption=settings.caption,
        seed=experiment.config.seed,
        splits=settings.splits,
        domains=settings.domains,
        caption_column=settings.caption_column,
        image_id_column=settings.image_id_column,
        file_name_column=settings.file_name_column,
        group_column=settings.group_column,
    )


def check_dataset_images(experiment: Experiment, table: pd.DataFrame) -> None:
    """Raises InputError if images of the prompt table are missing in the folder or archive set in the config (if any)."""
    if experiment.config.prompts.images is None:
        return
    images = experiment.path(experiment.config.prompts.images)
    if images.is_dir():
        check_images_exist(table, images, follow_links=True)
    else:
        match_members(table["file_name"], scan_reference_images(images), images)


def write_prompt_table(experiment: Experiment) -> None:
    """Writes the prompt table. Raises InputError as `prompt_table` does, and where images of it are missing."""
    table = prompt_table_of(experiment)
    check_dataset_images(experiment, table)
    write_prompts(table, experiment.paths.prompts)
    logger.info("%d prompts written to %s", len(table), experiment.paths.prompts)


def write_reference_list(experiment: Experiment) -> None:
    """Writes the list of the reference images: all of a folder or archive, or those of the dataset.

    Raises:
        InputError: they cannot be listed, or images of the dataset are missing.
    """
    source = experiment.reference_images
    members = scan_reference_images(source)
    if experiment.config.reference.images == "dataset":
        file_names = sorted(set(prompt_table_of(experiment)["file_name"]))
        listed = match_members(file_names, members, source)
    else:
        listed = [ListedImage(member, member) for member in members]
    write_image_list(experiment.reference_list, listed)
    logger.info("%d reference images listed in %s", len(listed), experiment.reference_list)
