"""Per-image random numbers and sampling, independent of the batch."""

import numpy as np
import torch


def image_uniforms(seed: int, n: int) -> np.ndarray:
    """The random numbers of one image, one per visual token.

    Philox is counter-based (Salmon et al. 2011): its stream depends on the key only, so it is the same on every machine, in
    every batch and after every resume.

    Args:
        seed: the prompt's seed (64 bit).
        n: number of visual tokens.

    Returns:
        (n,) float64 in [0, 1).
    """
    return np.random.Generator(np.random.Philox(key=seed)).random(n)


def sample_top_k(logits: torch.Tensor, uniforms: torch.Tensor, top_k: int) -> torch.Tensor:
    """Samples from the softmax over the top_k logits by inverse transform sampling.

    Args:
        logits: (batch, vocabulary) float32.
        uniforms: (batch,) float64 in [0, 1).
        top_k: number of most likely entries to sample from.

    Returns:
        (batch,) int64 indices into the vocabulary; -1 where the largest logit is NaN or infinite, so that a broken model is
        noticed without waiting for the device at every token.
    """
    values, indices = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
    cumulative = torch.softmax(values.double(), dim=-1).cumsum(-1)
    # Scaled by the last entry, which may differ slightly from 1 due to rounding.
    place = torch.searchsorted(cumulative, (uniforms * cumulative[:, -1]).unsqueeze(-1), right=True)
    sampled = indices.gather(-1, place.clamp_(max=values.shape[-1] - 1)).squeeze(-1)
    # topk puts NaN first, so the first value tells whether any is NaN or +inf.
    return sampled.masked_fill(~values[:, 0].isfinite(), -1)
