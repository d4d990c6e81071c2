"""How far raters agree: Krippendorff's alpha for categories without an order, where some votes may be missing.

Krippendorff 2011, "Computing Krippendorff's alpha-reliability": alpha = 1 - D_o / D_e, the disagreement seen within units
over the one expected if the same votes were dealt to units at random. 1: full agreement; 0: no more than by chance.
"""

import numpy as np

Array = np.ndarray
RESAMPLES = 2000


def krippendorff_alpha(counts: Array) -> float:
    """Nominal alpha.

    Args:
        counts: (units, categories), how many raters chose each category for each unit; units with fewer than two votes
            say nothing about agreement and are left out.

    Returns:
        alpha; NaN where all votes are of one category, or no unit has two votes: there is nothing to disagree about.

    Raises:
        ValueError: another shape, or negative counts.
    """
    counts = _checked(counts)
    return float(_alphas(counts, np.ones((1, len(counts))))[0])


def alpha_interval(counts: Array, seed: int, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of alpha over units drawn with replacement; NaN where alpha is NaN.

    The unit is the prompt: it says how alpha would vary with other prompts and the same raters. Resamples in which all
    votes are of one category have no alpha and are left out.
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
    # Ordered pairs of unequal votes within a unit, over m_u - 1, so that a unit weighs as many as its votes.
    unequal = (votes**2 - (counts**2).sum(axis=1)) / np.maximum(votes - 1, 1)
    n = weights @ votes
    of_category = weights @ counts
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (n**2 - (of_category**2).sum(axis=1)) / (n - 1)
        return np.where(expected > 0, 1 - weights @ unequal / expected, np.nan)
