"""The dataset of an experiment: its captions as a prompt table, and a check that its images exist."""

import pandas as pd

from emudrift.config.experiment import Experiment
from emudrift.data.image_sources import scan_reference_images
from emudrift.data.prompt_table import check_images_exist, prompt_table
from emudrift.data.reference_list import match_members


def prompt_table_of(experiment: Experiment) -> pd.DataFrame:
    """The prompt table defined by the config. Raises InputError as `prompt_table` does."""
    settings = experiment.config.prompts
    return prompt_table(
        settings.source,
        experiment.path(settings.captions),
        caption=settings.caption,
        seed=experiment.config.seed,
        splits=settings.splits,
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
