"""The same prompts across all arms, read from archives, beside the dataset's own images."""

from collections.abc import Sequence
from itertools import islice

from PIL import Image

from emudrift.errors import InputError
from emudrift.experiment import Experiment
from emudrift.grid import GridRow, side_by_side
from emudrift.image_list import match_members
from emudrift.prompts import Prompt
from emudrift.reference import iterate_images, scan_reference_images
from emudrift.shards import read_archive

ROWS = 8


def load_grid_rows(experiment: Experiment, prompts: Sequence[Prompt], n: int = ROWS) -> list[GridRow]:
    """The first n prompts with their images by every arm, in the order of `grid.side_by_side`.

    Raises:
        InputError: an archive or a real image is missing, or an archive holds other prompts.
    """
    prompts = prompts[:n]
    first = experiment.shards()[0].name
    columns = []
    for arm in side_by_side(experiment.arms()):
        archive = experiment.images(arm.name, first, ".tar")
        drawn = dict(islice(read_archive(archive), len(prompts)))
        if list(drawn) != [prompt.prompt_id for prompt in prompts][: len(drawn)]:
            raise InputError(f"{archive}: holds other prompts than the table; run its shard again")
        columns.append(list(drawn.values()))
    prompts = prompts[: min(len(column) for column in columns)]
    rows = []
    for place, (prompt, real) in enumerate(zip(prompts, _real_images(experiment, prompts), strict=True)):
        rows.append(GridRow(prompt.prompt_id, prompt.caption, real, [column[place] for column in columns]))
    return rows


def _real_images(experiment: Experiment, prompts: Sequence[Prompt]) -> list[Image.Image | None]:
    if experiment.config.prompts.images is None:
        return [None] * len(prompts)
    source = experiment.path(experiment.config.prompts.images)
    names = [prompt.file_name for prompt in prompts]
    if not source.is_dir():
        names = [image.member for image in match_members(names, scan_reference_images(source), source)]
    return list(iterate_images(source, names))
