"""How many images are enough: the sample size at which the test of the findings detects a difference, from a pilot."""

import functools
import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, nctdtr, stdtrit

from emudrift.errors import InputError
from emudrift.evaluation.blocks import BLOCKS
from emudrift.evaluation.intervals import CONFIDENCE, MIN_N_PER_DIMENSION, enough_images

POWER = 0.8
RANGE = 0.8
"""Of pilots like this one, the share whose range of N holds the N that is needed, as far as their standard error is at fault."""


def required_n(
    standard_error: float,
    n: int,
    difference: float,
    comparisons: int = 1,
    power: float = POWER,
    degrees: int = BLOCKS - 1,
) -> int:
    """Images per arm with which a true `difference` becomes a finding, from the standard error of a pilot with n images.

    Standard errors fall as 1 / √n, so n (δ · standard_error / difference)² images are enough, where δ is the noncentrality of the
    test (Cohen 1988, Statistical Power Analysis, ch. 2). The test is that of the findings: a two-sided t test at
    (1 − CONFIDENCE) / comparisons. The pilot's standard error is an estimate itself, of as many degrees of freedom; δ is such
    that `power` is the mean over what pilots may find, which plugging the estimate in would miss by up to .05.

    Args:
        standard_error: of the paired difference (`Estimate.standard_error`).
        difference: in units of FID, of either sign; the smallest difference of interest.
        comparisons: that are tested together.
        degrees: degrees of freedom of pilot and test, the number of blocks minus one.

    Raises:
        InputError: difference is 0, standard_error is negative, n or comparisons < 1, or power is out of range.
    """
    good = difference and np.isfinite(difference) and standard_error >= 0 and n >= 1 and comparisons >= 1
    if not good or not 0.5 <= power < 1:
        raise InputError(
            f"required_n: found standard error {standard_error}, n {n}, difference {difference}, comparisons {comparisons}, "
            f"power {power}; expected an error of at least 0, n and comparisons >= 1, a difference other than 0, and a power "
            "from 0.5 to 1"
        )
    noncentrality = _noncentrality(comparisons, power, degrees)
    return max(math.ceil(n * (noncentrality * standard_error / difference) ** 2), 1)


@functools.cache
def _noncentrality(comparisons: int, power: float, degrees: int) -> float:
    """The noncentrality, in units of a pilot's standard error, at which findings have this power on average over pilots."""
    critical = float(stdtrit(degrees, 1 - (1 - CONFIDENCE) / comparisons / 2))
    # Pilots' errors relative to the true one: the middles of 200 equally likely strata.
    errors = np.sqrt(chdtri(degrees, (np.arange(200) + 0.5) / 200) / degrees)

    def missing(noncentrality: float) -> float:
        # Far beyond the critical value, where the function gives NaN, nothing is missed.
        missed = np.nan_to_num(nctdtr(degrees, noncentrality * errors, critical), nan=0.0)
        return float(power - np.mean(1 - missed))

    return float(brentq(missing, 0.01, 50))


def enough(
    standard_error: float, half_sampling_error: float, n: int, dims: int, difference: float, comparisons: int
) -> tuple[int, int]:
    """The fewest images per arm for a finding about a true `difference`: least and most that a pilot leaves possible.

    Both are the same for a pilot at or above the limit of the findings. Below it errors are distorted, so the range runs from the
    smaller to the larger of the two standard errors that the pilot has, each with the uncertainty of an estimate of 19 degrees of
    freedom. Neither is ever less than the limit.

    Args:
        half_sampling_error: the pilot's other standard error; NaN where it has none.
        dims: of the features.
    """
    least = math.ceil(MIN_N_PER_DIMENSION * dims)
    errors = [each for each in (standard_error, half_sampling_error) if not math.isnan(each)]
    low = high = standard_error
    if not enough_images(n, dims):
        tail = (1 - RANGE) / 2
        low = min(errors) * math.sqrt((BLOCKS - 1) / chdtri(BLOCKS - 1, tail))
        high = max(errors) * math.sqrt((BLOCKS - 1) / chdtri(BLOCKS - 1, 1 - tail))
    found = [max(required_n(error, n, difference, comparisons), least) for error in (low, high)]
    return found[0], found[1]
