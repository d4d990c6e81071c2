"""Reconstruction quality of a model's VQ on the dataset's real images: PSNR and SSIM per image."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before torchmetrics, which imports torchvision)

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.evaluation.tables import QUALITY_COLUMNS
from emudrift.generation.archives import read_archive
from emudrift.generation.tokenizer import originals

BATCH = 64


def tokenizer_quality(
    archives: Iterable[Path], prompts: Sequence[Prompt], images: Path, size: tuple[int, int]
) -> pd.DataFrame:
    """PSNR and SSIM of reconstructions against their original images, cropped and resized identically.

    PSNR in dB over all pixels and channels of an image (peak value 255); SSIM as in Wang et al. (2004): Gaussian window of
    11 pixels with sigma 1.5, averaged over window positions and channels. Both are computed by torchmetrics.

    Args:
        archives: of the tokenizer's arm, in row order.
        prompts: the prompt table from row 0 on.
        images: the dataset's folder or archive.
        size: (width, height) of the reconstructions.

    Returns:
        Columns prompt_id, psnr, ssim.

    Raises:
        InputError: an archive or image is missing or damaged, or they do not match.
    """
    rows = []
    pairs = zip(_reconstructions(archives), prompts, strict=False)
    for some in _parts(pairs, BATCH):
        images_of_arm, wanted = [image for (_, image), _ in some], [prompt for _, prompt in some]
        strangers = [name for (name, _), prompt in some if name != prompt.prompt_id]
        if strangers:
            raise InputError(f"the archives do not match the prompt table: {strangers[0]}; run their shards again")
        real = _tensor(originals(images, wanted, size))
        reconstructed = _tensor(images_of_arm)
        psnr = peak_signal_noise_ratio(reconstructed, real, data_range=255.0, reduction="none", dim=(1, 2, 3))
        ssim = structural_similarity_index_measure(reconstructed, real, data_range=255.0, reduction="none")
        rows += [
            {"prompt_id": prompt.prompt_id, "psnr": float(p), "ssim": float(s)}
            for prompt, p, s in zip(wanted, psnr, ssim, strict=True)
        ]
    return pd.DataFrame(rows, columns=list(QUALITY_COLUMNS))


def _reconstructions(archives: Iterable[Path]) -> Iterator[tuple[str, Image.Image]]:
    for archive in archives:
        yield from read_archive(archive)


def _parts(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    part: list[Any] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _tensor(images: Sequence[Image.Image]) -> torch.Tensor:
    """(batch, 3, height, width) float32, 0 to 255."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float()
