"""The dataset of an experiment: its captions as a prompt table, and a check that its images exist."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from emudrift.config.annotations import Condition
from emudrift.config.experiment import Experiment
from emudrift.data.annotations import read_annotations
from emudrift.data.image_sources import scan_reference_images
from emudrift.data.prompt_table import check_images_exist, prompt_table, write_prompts
from emudrift.data.reference_list import ListedImage, match_members, write_image_list
from emudrift.data.selection import SELECTED
from emudrift.errors import InputError

logger = logging.getLogger(__name__)


def all_prompts(experiment: Experiment) -> pd.DataFrame:
    """The prompt table of all images, whatever the conditions are. Raises InputError as `prompt_table` does."""
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


def prompt_table_of(experiment: Experiment) -> pd.DataFrame:
    """The prompt table defined by the config: of the prompts that meet its conditions, numbered anew.

    Raises InputError as `prompt_table` and `selected` do.
    """
    return selected(experiment, all_prompts(experiment), experiment.config.prompts.where)


def selected(experiment: Experiment, table: pd.DataFrame, where: Mapping[str, Condition]) -> pd.DataFrame:
    """The prompts that meet conditions, as the rule select_prompts has found; all of them without conditions.

    Raises InputError where that is missing or belongs to other prompts.
    """
    path = experiment.annotations.selection(where)
    if path is None:
        return table
    kept = read_annotations(path)[SELECTED]
    if kept.index.tolist() != table["prompt_id"].tolist():
        raise InputError(f"{path} is of other prompts than the captions file now has; remove it and run again")
    chosen = table[kept.to_numpy(bool)].reset_index(drop=True)
    return chosen.assign(row=np.arange(len(chosen), dtype=np.int64))


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
        of_dataset = selected(experiment, all_prompts(experiment), experiment.config.reference.where)
        file_names = sorted(set(of_dataset["file_name"]))
        listed = match_members(file_names, members, source)
    else:
        listed = [ListedImage(member, member) for member in members]
    write_image_list(experiment.reference_list, listed)
    logger.info("%d reference images listed in %s", len(listed), experiment.reference_list)
