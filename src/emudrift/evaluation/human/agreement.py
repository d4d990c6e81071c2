"""Inter-rater agreement: Krippendorff's alpha for nominal categories, allowing missing votes.

Krippendorff 2011, "Computing Krippendorff's alpha-reliability": alpha = 1 - D_o / D_e, the observed disagreement within
units over that expected if the same votes were assigned to units at random. 1: perfect agreement; 0: chance level.
"""

import numpy as np

Array = np.ndarray
RESAMPLES = 2000


def krippendorff_alpha(counts: Array) -> float:
    """Nominal alpha.

    Args:
        counts: (units, categories), number of raters who chose each category for each unit; units with fewer than two
            votes carry no information about agreement and are excluded.

    Returns:
        alpha; NaN (undefined) if all votes are in one category, or no unit has two votes.

    Raises:
        ValueError: wrong shape, or negative counts.
    """
    counts = _checked(counts)
    return float(_alphas(counts, np.ones((1, len(counts))))[0])


def alpha_interval(counts: Array, seed: int, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of alpha, resampling units with replacement; NaN where alpha is NaN.

    The unit is the prompt, so the interval reflects variation over prompts with the raters held fixed. Resamples in which
    all votes are in one category have no alpha and are excluded.
    """
    counts = _checked(counts)
    if np.isnan(krippendorff_alpha(counts)):
        return float("nan"), float("nan")
    units = len(counts)
    weights = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=RESAMPLES)
    alphas = _alphas(counts, weights)
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(alphas, [tail, 1 - tail])
    return float(low), float(high)


def _checked(counts: Array) -> Array:
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim != 2 or (counts < 0).any():
        raise ValueError(f"counts has shape {counts.shape}; expected (units, categories), 0 or more each")
    return counts[counts.sum(axis=1) >= 2]


def _alphas(counts: Array, weights: Array) -> Array:
    """alpha (b,) with unit u counted weights[b, u] times."""
    votes = counts.sum(axis=1)
    # Ordered pairs of unequal votes within a unit, over m_u - 1, so that the weight of a unit is its number of votes.
    unequal = (votes**2 - (counts**2).sum(axis=1)) / np.maximum(votes - 1, 1)
    n = weights @ votes
    of_category = weights @ counts
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (n**2 - (of_category**2).sum(axis=1)) / (n - 1)
        return np.where(expected > 0, 1 - weights @ unequal / expected, np.nan)
