"""CLIPScore (Hessel et al. 2021, arXiv:2104.08718): how well an image fits its caption, in CLIP's eyes.

100 · max(cos(image, caption), 0) per image, the scale of torchmetrics; Hessel et al. multiply by 2.5 in place of 100, and
take ViT-B/32: numbers compare only at the same checkpoint.
"""

import numpy as np

from emudrift.evaluation.metrics.mmd import unit_length

SCALE = 100.0


def clip_scores(images: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """Scores (n,) of image and caption embeddings (n, d), row i of both belonging together."""
    if images.shape != captions.shape:
        raise ValueError(f"image embeddings of shape {images.shape} do not fit caption embeddings of {captions.shape}")
    cosines = (unit_length(images) * unit_length(captions)).sum(axis=1)
    return SCALE * cosines.clip(min=0)
