"""CLIP feature extractor: image embeddings for CMMD (Jayasumana et al. 2024, arXiv:2401.09603), and text for CLIPScore."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  isort: skip
import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel

from emudrift.config.experiment import Experiment
from emudrift.config.extractors import Clip
from emudrift.features.batches import features_in_batches
from emudrift.features.checkpoint import check_pretrained, check_tokenizer, load_pretrained
from emudrift.features.preprocessing import normalised_square

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

logger = logging.getLogger(__name__)


class ClipExtractor:
    """Computes CLIP's projected embeddings of images and captions, in float32; the metrics normalise them themselves.

    The largest central square of an image is resized to the network's input size (336 in the paper) with PIL's antialiased
    bicubic, as in CMMD's io_util.py. For square images this equals CLIP's own preprocessing.
    """

    random_weights = False

    def __init__(self, folder: Path, dims: int = 768, device: str = "cpu") -> None:
        check_pretrained(folder, "clip", dims)
        self.dims, self.device, self.folder = dims, torch.device(device), folder
        self.network = load_pretrained(CLIPModel, folder, device)
        self.side: int = self.network.config.vision_config.image_size

    def features(self, images: Iterable[Image.Image], batch_size: int) -> np.ndarray:
        """Features (n, dims), float32, of n images of any sizes; the batch size only affects speed.

        Raises:
            InputError: a feature is not finite; the message gives the 0-based index of the image.
        """
        return features_in_batches(images, batch_size, self.dims, self._preprocess, self._forward)

    def _preprocess(self, image: Image.Image) -> torch.Tensor:
        return normalised_square(image, self.side, True, CLIP_MEAN, CLIP_STD)

    @torch.inference_mode()
    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.network.get_image_features(pixel_values=batch.to(self.device)).pooler_output
        return output

    @torch.inference_mode()
    def text_features(self, captions: Sequence[str], batch_size: int) -> np.ndarray:
        """Embeddings (n, dims), float32, of captions. CLIP's limit is 77 tokens; the number of truncated captions is logged.

        Raises:
            InputError: the checkpoint has no tokenizer.
        """
        length = self.network.config.text_config.max_position_embeddings
        check_tokenizer(self.folder)
        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        if not captions:
            return np.empty((0, self.dims), np.float32)
        longer = sum(
            len(ids) > length for ids in tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]
        )
        if longer:
            logger.warning(
                "%d of %d captions exceed CLIP's limit of %d tokens and are truncated", longer, len(captions), length
            )
        parts = []
        for start in range(0, len(captions), batch_size):
            tokens = tokenizer(
                list(captions[start : start + batch_size]),
                # Always padded to the full length, so that other captions in the batch cannot affect an embedding.
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            ).to(self.device)
            output = self.network.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
            parts.append(output.pooler_output.cpu().numpy())
        return np.concatenate(parts)


def load(settings: Clip, experiment: Experiment) -> ClipExtractor:
    """The extractor that the settings describe, for the registry."""
    return ClipExtractor(experiment.checkpoint_folder(settings.checkpoint), settings.dims, experiment.config.device)
