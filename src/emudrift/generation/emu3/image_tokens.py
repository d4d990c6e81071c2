"""Pictures as visual tokens: preprocessed as by Emu3's processor, encoded by its VQ in float32, and kept for all arms.

Encoding does not depend on the language model: arms of one VQ, and variants of a task, share the tokens of a picture.
"""

import hashlib
import io
import json
import logging
import zipfile
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import torch
from transformers import Emu3ImageProcessor, Emu3VQVAE

from emudrift.data.image_io import load_image
from emudrift.data.image_sources import PictureFiles
from emudrift.errors import InputError
from emudrift.generation.answers.interface import Picture
from emudrift.generation.emu3.memory import is_out_of_memory
from emudrift.runtime.atomic_files import write_bytes_atomically

logger = logging.getLogger(__name__)


def set_image_area(processor: Emu3ImageProcessor, area: int) -> None:
    """Bounds the area of pictures in pixels: larger ones are shrunk to it. Smaller ones grow to the processor's own minimum."""
    processor.max_pixels = area
    processor.min_pixels = min(processor.min_pixels, area)
    processor.size = {"min_pixels": processor.min_pixels, "max_pixels": processor.max_pixels}


class ImageTokens:
    """Visual tokens of pictures.

    Args:
        processor: with its bounds set (`set_image_area`).
        vq: in float32, in evaluation mode: in training mode its normalisation would depend on the picture.
        vq_digest: sha256 over its weights.
        folder: where tokens are kept; a folder for each VQ and preprocessing inside.
    """

    def __init__(self, processor: Emu3ImageProcessor, vq: Emu3VQVAE, vq_digest: str, folder: Path) -> None:
        self.processor, self.vq = processor, vq.eval()
        settings = {
            key: value for key, value in processor.to_dict().items() if isinstance(value, int | float | list | dict)
        }
        device = {"vq": vq_digest, "device": vq.device.type, "processor": settings}
        key = hashlib.sha256(json.dumps(device, sort_keys=True).encode()).hexdigest()[:12]
        self.folder = folder / key

    def codes(self, picture: Picture, files: PictureFiles) -> np.ndarray:
        """(h, w) uint16 codebook indices of a picture.

        Raises:
            InputError: it is missing or damaged, it changed since its sha256 was taken, or there is not enough device memory.
        """
        path = self.folder / picture.sha256[:2] / f"{picture.sha256}.npz"
        kept = _load(path)
        if kept is not None:
            return kept
        data = files.data(picture.name)
        if hashlib.sha256(data).hexdigest() != picture.sha256:
            raise InputError(
                f"{files.source}: {picture.name} changed while questions about it were answered; run again"
            )
        codes = self._encode(data, f"{files.source}: {picture.name}")
        buffer = io.BytesIO()
        np.savez(buffer, codes=codes)
        write_bytes_atomically(path, buffer.getvalue())
        return codes

    @torch.inference_mode()
    def _encode(self, data: bytes, name: str) -> np.ndarray:
        image = load_image(io.BytesIO(data), name=name)
        inputs = self.processor(images=[image], return_tensors="pt")
        pixels, sizes = inputs["pixel_values"].to(self.vq.device, torch.float32), inputs["image_sizes"]
        # TF32, torch's default for convolutions on a GPU, would keep only 10 of float32's 23 mantissa bits.
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                (codes,) = self.vq.encode(pixels, sizes).image_tokens
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(f"not enough device memory to encode {name}; set a smaller image_area") from error
        found: np.ndarray = codes.cpu().numpy().astype(np.uint16)
        return found


def _load(path: Path) -> np.ndarray | None:
    """None where it is missing or damaged (a .npz has a checksum of its content)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            codes: np.ndarray = file["codes"]
            return codes
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
