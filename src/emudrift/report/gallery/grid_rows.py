"""A prompt with its images side by side: what the image grid and the gallery are made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from emudrift.config.arm import Arm


@dataclass(frozen=True)
class GridRow:
    """One prompt of the image grid: its caption, the real image (None if there is none) and one image per arm."""

    prompt_id: str
    caption: str
    real: Image.Image | None
    images: Sequence[Image.Image]


def side_by_side(arms: Sequence[Arm]) -> list[Arm]:
    """Arms sorted so that those of equal guidance scale are adjacent."""
    return sorted(arms, key=lambda arm: -math.inf if arm.guidance_scale is None else arm.guidance_scale)


def matrix_of(arms: Sequence[Arm]) -> tuple[int, list[tuple[int, int]]]:
    """Where each arm's image stands: models by guidance scales, the longer of the two across.

    Returns:
        number of columns, and (row, column) of each arm, from 1.
    """
    models = list(dict.fromkeys(arm.model for arm in arms))
    # An arm without a scale has only one image: it stands at the first scale.
    scales: list[float | None] = [*dict.fromkeys(arm.guidance_scale for arm in arms if arm.guidance_scale is not None)]
    scales = scales or [None]
    places = [
        (models.index(arm.model) + 1, 1 if arm.guidance_scale is None else scales.index(arm.guidance_scale) + 1)
        for arm in arms
    ]
    if len(models) > len(scales):
        return len(models), [(row, column) for column, row in places]
    return len(scales), places
