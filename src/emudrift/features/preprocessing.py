"""From a picture to the tensor that a network sees. Every distance moves with every choice made here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image

INPUT_SIZE = 299


@dataclass(frozen=True)
class Preprocessing:
    """Crop and size first, then the step to 299 x 299.

    size and crop "center": the shorter side becomes `size` pixels (PIL bicubic, antialiased), then the central square;
    with 256 the usual COCO protocol. size, no crop: distorted to size x size. crop alone: the largest central square.
    Neither: the image as it is.

    resize "bicubic": to 299 with PIL's antialiased bicubic. "pytorch-fid": bilinear without antialias on floats, which
    is what pytorch-fid's network does to its input; with crop "none" and size None it is pytorch-fid's own pipeline.
    """

    resize: Literal["bicubic", "pytorch-fid"] = "bicubic"
    crop: Literal["center", "none"] = "center"
    size: int | None = 256

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """An image of mode RGB or L, any size, as float32 (3, 299, 299) in [0, 1].

        Raises:
            ValueError: another mode; `emudrift.images.load_image` makes RGB of everything.
        """
        image = self._crop_and_size(_rgb(image))
        if self.resize == "bicubic":
            return _to_tensor(_resize(image, INPUT_SIZE, INPUT_SIZE))
        return torch.nn.functional.interpolate(
            _to_tensor(image)[None], size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False
        )[0]

    def _crop_and_size(self, image: Image.Image) -> Image.Image:
        if self.size is not None and self.crop == "none":
            return _resize(image, self.size, self.size)
        short = min(image.size)
        if self.size is not None:
            # The longer side is cut off to whole pixels, as torchvision's Resize does.
            image = _resize(image, *(self.size * side // short for side in image.size))
            short = self.size
        return _center_square(image, short) if self.crop == "center" else image


def normalised_square(
    image: Image.Image, side: int, crop: bool, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """An image of mode RGB or L, any size, as float32 (3, side, side), each channel less its mean, by its std.

    Args:
        crop: the largest central square; else distorted.

    Raises:
        ValueError: another mode.
    """
    image = _rgb(image)
    if crop:
        # Half pixels are cut off, as in CMMD's io_util.py.
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        image = image.crop((left, top, left + short, top + short))
    channels = (3, 1, 1)
    return (_to_tensor(_resize(image, side, side)) - torch.tensor(mean).view(channels)) / torch.tensor(std).view(
        channels
    )


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode not in ("RGB", "L"):
        raise ValueError(f"an image has mode {image.mode}, expected RGB; load it with emudrift.images.load_image")
    return image.convert("RGB")


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    # Pillow's bicubic widens its filter when it shrinks, which is the antialiasing; equal sizes are left untouched.
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def _center_square(image: Image.Image, side: int) -> Image.Image:
    # Half pixels go where Python's round puts them, as in torchvision's CenterCrop.
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))


def _to_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
