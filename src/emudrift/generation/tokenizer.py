"""The tokenizer floor: the dataset's real images encoded and decoded by a model's VQ, a lower bound on FID for its arms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import torch
from PIL import Image

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.models import TokenizerModel
from emudrift.data.image_sources import iterate_images, scan_reference_images
from emudrift.data.prompts import Prompt
from emudrift.data.reference_list import match_members
from emudrift.errors import InputError
from emudrift.generation.emu3 import vq
from emudrift.generation.emu3.checkpoint import load_vq
from emudrift.generation.interface import Batching
from emudrift.runtime.devices import torch_device

BATCH = 16


class TokenizerGenerator:
    """Encodes and decodes the dataset image of each prompt, which isolates the VQ's reconstruction error.

    Args:
        settings: of the arm (`Arm.settings`).
        checkpoint: folder of the checkpoint whose VQ is used.
        images: folder or archive of the dataset's images.

    Raises:
        InputError: the device, the VQ or the folder does not exist.
    """

    overlaps = False

    def __init__(self, settings: dict[str, Any], checkpoint: Path, images: Path) -> None:
        self.size: tuple[int, int] = (settings["width"], settings["height"])
        self.vq = load_vq(checkpoint).to(torch_device(settings["device"])).eval()
        self.images, self.tf32 = images, settings.get("decoder_tf32", False)
        self.members = None if images.is_dir() else scan_reference_images(images)
        self.batching, self.effective_batch_size = Batching(BATCH, 0), BATCH

    def plan(self, captions: Sequence[str], shard_size: int, batch_size: int | None) -> Batching:
        return self.batching

    def codes(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Visual tokens of the prompts' dataset images, (batch, h, w) uint16.

        Raises:
            InputError: an image is missing or damaged, or there is not enough device memory.
        """
        pixels = np.stack([np.asarray(image) for image in originals(self.images, prompts, self.size, self.members)])
        try:
            return vq.encode_pixels(self.vq, torch.from_numpy(pixels)).numpy().astype(np.uint16)
        except torch.OutOfMemoryError as error:
            raise InputError("not enough device memory to encode one image of this size") from error

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decodes codes (batch, h, w) to images (batch, height, width, 3) uint8."""
        try:
            return vq.decode_codes(self.vq, torch.from_numpy(codes.astype(np.int64)), self.tf32).numpy()
        except torch.OutOfMemoryError as error:
            raise InputError("not enough device memory to decode one image of this size") from error

    def device(self) -> str:
        device = self.vq.device
        return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def originals(
    images: Path, prompts: Sequence[Prompt], size: tuple[int, int], members: Sequence[str] | None = None
) -> list[Image.Image]:
    """The dataset images of prompts, preprocessed for the VQ: centre-cropped to the aspect ratio of `size`, resized bicubically.

    Args:
        images: folder or archive.
        size: (width, height).
        members: names in the archive, if already known.

    Raises:
        InputError: an image is missing or damaged.
    """
    names = [prompt.file_name for prompt in prompts]
    if not images.is_dir():
        found = match_members(names, scan_reference_images(images) if members is None else members, images)
        names = [image.member for image in found]
    return [_fit(image, size) for image in iterate_images(images, names)]


def _fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    scale = min(image.width / size[0], image.height / size[1])
    width, height = size[0] * scale, size[1] * scale
    left, top = (image.width - width) / 2, (image.height - height) / 2
    return image.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height), reducing_gap=None)


def load_model(experiment: Experiment, model: TokenizerModel, arm: Arm) -> TokenizerGenerator:
    """The generator of an arm, for the registry."""
    images = experiment.path(str(experiment.config.prompts.images))
    return TokenizerGenerator(arm.settings, experiment.checkpoint_folders(model)["checkpoint"], images)
