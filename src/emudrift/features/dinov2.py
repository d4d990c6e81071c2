"""DINOv2 feature extractor for FD-DINOv2 (Stein et al. 2023, arXiv:2306.04675)."""

from collections.abc import Iterable
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  isort: skip
import numpy as np
import torch
from PIL import Image
from transformers import Dinov2Model

from emudrift.config.experiment import Experiment
from emudrift.config.extractors import Dinov2
from emudrift.features.batches import features_in_batches
from emudrift.features.checkpoint import check_pretrained, load_pretrained
from emudrift.features.preprocessing import normalised_square

SIDE = 224
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Dinov2Extractor:
    """Extracts the CLS token after the final layer norm, the output of the authors' own network.

    Images are resized to 224 x 224 without keeping the aspect ratio, with PIL's antialiased bicubic, as in the paper's
    implementation dgm-eval by default (transformers' processor of this checkpoint crops instead). Float32.

    Difference to dgm-eval: transformers interpolates the position embeddings from 518 to 224 pixels by target size,
    torch.hub's DINOv2 by a scale factor with an offset of 0.1. The effect on FD-DINOv2 has not been measured.
    """

    random_weights = False

    def __init__(self, folder: Path, dims: int = 1024, device: str = "cpu") -> None:
        check_pretrained(folder, "dinov2", dims)
        self.dims, self.device = dims, torch.device(device)
        self.network = load_pretrained(Dinov2Model, folder, device)

    def features(self, images: Iterable[Image.Image], batch_size: int) -> np.ndarray:
        """Features (n, dims), float32, of n images of any sizes; the batch size only affects speed.

        Raises:
            InputError: a feature is not finite; the message gives the 0-based index of the image.
        """
        return features_in_batches(images, batch_size, self.dims, self._preprocess, self._forward)

    @staticmethod
    def _preprocess(image: Image.Image) -> torch.Tensor:
        return normalised_square(image, SIDE, False, IMAGENET_MEAN, IMAGENET_STD)

    @torch.inference_mode()
    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.network(batch.to(self.device)).last_hidden_state
        return output[:, 0]


def load(settings: Dinov2, experiment: Experiment) -> Dinov2Extractor:
    """The extractor that the settings describe, for the registry."""
    return Dinov2Extractor(experiment.checkpoint_folder(settings.checkpoint), settings.dims, experiment.config.device)
