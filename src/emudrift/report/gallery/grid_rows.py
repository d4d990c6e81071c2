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
