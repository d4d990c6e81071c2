"""Annotations of an experiment's prompts, and which of them meet the conditions of `where`."""

import logging

import pandas as pd

from emudrift.config.annotated import ColumnsOf, annotated, selecting
from emudrift.config.experiment import Experiment
from emudrift.config.extractors import ExtractorSettings
from emudrift.data.annotate import PairEmbedder, Sources, annotate, made_with
from emudrift.data.annotations import write_annotations
from emudrift.data.dataset import all_prompts, check_dataset_images
from emudrift.data.prompts import load_prompts
from emudrift.data.selection import SELECTED, nothing_left, select
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import sha256_of
from emudrift.runtime.json_files import write_json

logger = logging.getLogger(__name__)


def annotate_prompts(experiment: Experiment, key: str, batch_size: int) -> None:
    """Writes the table of that key: the columns of the first N prompts of a set, N being its largest sample size.

    Raises InputError as `annotate` does.
    """
    wanted = _wanted(experiment, annotated(experiment), key)
    view = wanted.view
    prompts = load_prompts(view.paths.prompts)[: max(view.config.sample_sizes)]
    table = pd.DataFrame([vars(prompt) for prompt in prompts])
    path = view.paths.annotations(key)
    write_annotations(annotate(table, wanted.columns, sources_of(wanted, batch_size)), path)
    logger.info("%s of %d prompts written to %s", ", ".join(wanted.columns), len(table), path)


def select_prompts(experiment: Experiment, key: str, batch_size: int) -> None:
    """Writes which of all prompts meet the conditions of that key, with their columns, and how many each condition removed.

    Raises:
        InputError: as `annotate` and `select` do; nothing is left.
    """
    wanted = _wanted(experiment, selecting(experiment), key)
    view = wanted.view
    where = view.annotations.selections()[key]
    prompts = all_prompts(view)
    check_dataset_images(view, prompts)
    table = annotate(prompts, wanted.columns, sources_of(wanted, batch_size))
    kept, selection = select(table, where, made_with(where))
    for each in selection.conditions:
        logger.info("%s: %s removes %d more of %d prompts", each.column, each.condition, each.removed, selection.total)
    if not selection.left:
        raise InputError(f"{view.config_path}: {nothing_left(selection)}")
    write_annotations(table.assign(**{SELECTED: kept}), view.paths.selection(key))
    write_json(view.paths.selection_record(key), selection.model_dump())


def _wanted(experiment: Experiment, jobs: dict[str, ColumnsOf], key: str) -> ColumnsOf:
    if key in jobs:
        return jobs[key]
    raise InputError(
        f"{experiment.config_path}: has no annotations {key!r}; were they changed since they were planned?"
    )


def sources_of(wanted: ColumnsOf, batch_size: int) -> Sources:
    """What the config says that columns are made from."""
    view, clip = wanted.view, wanted.clip
    prompts = view.config.prompts
    return Sources(
        kept=view.paths.annotation_values,
        images=next(iter(wanted.images), None),
        instances=next(iter(wanted.instances), None),
        clip=None if clip is None else lambda: _load(clip, view),
        clip_key=None if clip is None else _key(clip, view),
        batch_size=batch_size,
        table=view.path(prompts.captions),
        table_settings=prompts.model_dump(include={"source", "caption_column", "image_id_column", "file_name_column"}),
    )


def _key(clip: ExtractorSettings, experiment: Experiment) -> dict[str, str]:
    """The files, since a local folder's can change."""
    return {path.name: sha256_of(path) for path in clip.weights_files(experiment)} | {
        "name": experiment.extractor_name(clip)
    }


def _load(clip: ExtractorSettings, experiment: Experiment) -> PairEmbedder:
    # Here, since torch takes seconds to import, and most columns need no network.
    from emudrift.runtime.devices import torch_device

    torch_device(experiment.config.device)
    found: PairEmbedder = clip.load(experiment)
    return found
