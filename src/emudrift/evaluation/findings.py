"""The findings of a comparison, and the rule that gives them."""

import math
from typing import Literal

Finding = Literal["worse", "better", "no worse than the margin", "inconclusive", "too few images", "byte-identical"]

WORSE: Finding = "worse"
BETTER: Finding = "better"
NO_WORSE: Finding = "no worse than the margin"
"""The model may be worse, but by less than the margin that the config sets."""
INCONCLUSIVE: Finding = "inconclusive"
TOO_FEW: Finding = "too few images"
"""N is below `intervals.MIN_N_PER_DIMENSION` times the feature dimensions: whatever the interval, nothing is claimed."""

IDENTICAL: Finding = "byte-identical"
"""Both arms have the same images, a control of the config: nothing is tested, and the comparison counts in no adjustment."""

ROUNDING = 0.14
"""The FID between features of the same images by Inception in bfloat16 and in float32: what rounding alone can move."""


def finding_of(low: float, high: float, reliable: bool, margin: float = math.nan) -> Finding:
    """What the interval of a difference (model minus baseline, above 0 is worse) shows.

    The two ends are the two one-sided tests (Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15, 657-680), each at half
    of 1 − the interval's confidence: the model is no worse than the margin if the upper end lies below it, and not better by
    the margin if the lower end lies above −margin. Findings and printed intervals therefore cannot disagree.

    Args:
        low, high: of the interval that holds together with those of all comparisons.
        reliable: whether there are enough images for the interval to be trusted.
        margin: a difference that would not matter, above 0; NaN for none. A loss that is certain but smaller than the margin
            is NO_WORSE; a gain that is certain is BETTER, however small.
    """
    if not reliable:
        return TOO_FEW
    if high < 0:
        return BETTER
    if high < margin:
        return NO_WORSE
    return WORSE if low > 0 else INCONCLUSIVE
