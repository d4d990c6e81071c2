"""CLIPScore (Hessel et al. 2021, arXiv:2104.08718): how well an image matches its caption, by the cosine of CLIP's embeddings.

100 · max(cos(image, caption), 0) per image, the scale of torchmetrics; Hessel et al. multiply by 2.5 instead of 100, and
use ViT-B/32: numbers are comparable only for the same checkpoint.
"""

import numpy as np

from emudrift.config.metrics import Metric
from emudrift.evaluation.metrics.mmd import unit_length

SCALE = 100.0


def clip_scores(images: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """Scores (n,) of image and caption embeddings (n, d), row i of both belonging together."""
    if images.shape != captions.shape:
        raise ValueError(f"image embeddings of shape {images.shape} do not fit caption embeddings of {captions.shape}")
    cosines = (unit_length(images) * unit_length(captions)).sum(axis=1)
    return SCALE * cosines.clip(min=0)


METRIC = Metric(
    name="clip_score",
    label="CLIPScore",
    function=clip_scores,
    inputs="captions",
    reads=("clip",),
    per_image=True,
    formula="100 · max(cos, 0) of image and caption embeddings, mean over images",
    citation="Hessel et al., 2021",
    bibtex=r"""@inproceedings{hessel2021clipscore,
  author    = {Hessel, Jack and Holtzman, Ari and Forbes, Maxwell and Le Bras, Ronan and Choi, Yejin},
  title     = {{CLIPScore}: A Reference-free Evaluation Metric for Image Captioning},
  booktitle = {Conference on Empirical Methods in Natural Language Processing (EMNLP)},
  year      = {2021},
  eprint    = {2104.08718},
  archivePrefix = {arXiv}
}""",
)
