"""Known ways to make an image worse: the steps of the ladder that differences between models are compared with."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageFilter

Kind = Literal["jpeg", "blur"]
BLUR_AT = 256
"""Radii of blur are pixels of an image whose shorter side has this many, so that they mean the same at every size."""


@dataclass(frozen=True)
class Degradation:
    """One step: JPEG with `level` as its quality, or Gaussian blur with `level` as its standard deviation."""

    kind: Kind
    level: float

    @property
    def label(self) -> str:
        """As it follows "what": `JPEG quality 35`."""
        return f"JPEG quality {self.level:g}" if self.kind == "jpeg" else f"a blur of {self.level:g} px"

    def apply(self, image: Image.Image) -> Image.Image:
        """The degraded image, of the same size and mode RGB."""
        return _APPLY[self.kind](image.convert("RGB"), self.level)


def _jpeg(image: Image.Image, quality: float) -> Image.Image:
    buffer = io.BytesIO()
    # 4:2:0, as cameras and the web have it.
    image.save(buffer, format="JPEG", quality=round(quality), subsampling=2)
    return Image.open(buffer).convert("RGB")


def _blur(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius * min(image.size) / BLUR_AT))


_APPLY: dict[Kind, Callable[[Image.Image, float], Image.Image]] = {"jpeg": _jpeg, "blur": _blur}

STEPS = (
    *(Degradation("jpeg", quality) for quality in (75, 35, 15)),
    *(Degradation("blur", radius) for radius in (1, 2, 4)),
)
"""Each kind from mild to severe."""
