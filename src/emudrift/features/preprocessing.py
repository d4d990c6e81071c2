"""Image preprocessing for feature extractors. Every choice made here affects every distance."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from emudrift.config.extractors import Preprocessing

INPUT_SIZE = 299
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def inception_input(image: Image.Image, preprocessing: Preprocessing) -> torch.Tensor:
    """An image of mode RGB or L, any size, as float32 (3, 299, 299) in [0, 1].

    Crop and size first, then the step to 299 x 299. size and crop "center": the shorter side becomes `size` pixels (PIL bicubic,
    antialiased), then the central square; with 256 the usual COCO protocol. size, no crop: resized to size x size without keeping
    the aspect ratio. crop alone: the largest central square. Neither: the image as it is.

    resize "bicubic", "bilinear": to 299 with PIL's antialiased filter of that name; bilinear with crop "none" and size None is
    torchvision's Resize((299, 299)) of a PIL image. "pytorch-fid": bilinear without antialias on floats, which is what
    pytorch-fid's network does to its input; with crop "none" and size None it is pytorch-fid's own pipeline.

    Raises:
        ValueError: another mode; `data.image_io.load_image` makes RGB of everything.
    """
    image = _crop_and_size(_rgb(image), preprocessing)
    if preprocessing.resize in FILTERS:
        return _to_tensor(_resize(image, INPUT_SIZE, INPUT_SIZE, FILTERS[preprocessing.resize]))
    return torch.nn.functional.interpolate(
        _to_tensor(image)[None], size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False
    )[0]


def _crop_and_size(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    size, crop = preprocessing.size, preprocessing.crop
    if size is not None and crop == "none":
        return _resize(image, size, size)
    short = min(image.size)
    if size is not None:
        # The longer side is rounded down to whole pixels, as in torchvision's Resize.
        image = _resize(image, size * image.width // short, size * image.height // short)
        short = size
    return _center_square(image, short) if crop == "center" else image


def normalised_square(
    image: Image.Image, side: int, crop: bool, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """An image of mode RGB or L, any size, as float32 (3, side, side), each channel normalised with its mean and std.

    Args:
        crop: crop to the largest central square; otherwise resize without keeping the aspect ratio.

    Raises:
        ValueError: another mode.
    """
    image = _rgb(image)
    if crop:
        # Half pixels are rounded down, as in CMMD's io_util.py.
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        image = image.crop((left, top, left + short, top + short))
    channels = (3, 1, 1)
    return (_to_tensor(_resize(image, side, side)) - torch.tensor(mean).view(channels)) / torch.tensor(std).view(
        channels
    )


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode not in ("RGB", "L"):
        raise ValueError(
            f"an image has mode {image.mode}, expected RGB; load it with emudrift.data.image_io.load_image"
        )
    return image.convert("RGB")


def _resize(
    image: Image.Image, width: int, height: int, filter: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    # Pillow's filters are antialiased when downscaling; images that already have the size are unchanged.
    return image if image.size == (width, height) else image.resize((width, height), filter)


def _center_square(image: Image.Image, side: int) -> Image.Image:
    # Half pixels are rounded with Python's round, as in torchvision's CenterCrop.
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))


def _to_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
