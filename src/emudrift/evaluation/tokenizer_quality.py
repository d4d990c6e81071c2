"""What a model's VQ loses of the dataset's own images: PSNR and SSIM, image by image."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before torchmetrics, which looks at torchvision)

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

TOGETHER = 64


def tokenizer_quality(
    archives: Iterable[Path], prompts: Sequence[Prompt], images: Path, size: tuple[int, int]
) -> pd.DataFrame:
    """PSNR and SSIM of reconstructions against the images they were made from, cropped and scaled alike.

    PSNR in dB over all pixels and channels of an image (255 is the largest value); SSIM by Wang et al. (2004): Gaussian
    window of 11 pixels with sigma 1.5, mean over window positions and channels. Both by torchmetrics.

    Args:
        archives: of the tokenizer's arm, in row order.
        prompts: the prompt table from row 0 on.
        images: the dataset's folder or archive.
        size: (width, height) of the reconstructions.

    Returns:
        Columns prompt_id, psnr, ssim.

    Raises:
        InputError: an archive or image is missing or broken, or they do not belong together.
    """
    rows = []
    pairs = zip(_reconstructions(archives), prompts, strict=False)
    for some in _parts(pairs, TOGETHER):
        drawn, wanted = [image for (_, image), _ in some], [prompt for _, prompt in some]
        strangers = [name for (name, _), prompt in some if name != prompt.prompt_id]
        if strangers:
            raise InputError(f"the archives hold other prompts than the table: {strangers[0]}; run their shards again")
        real = _tensor(originals(images, wanted, size))
        made = _tensor(drawn)
        psnr = peak_signal_noise_ratio(made, real, data_range=255.0, reduction="none", dim=(1, 2, 3))
        ssim = structural_similarity_index_measure(made, real, data_range=255.0, reduction="none")
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
