"""How many images are enough: promised power is found again, and pilots that are too small say so."""

import math

import numpy as np
import pytest
from scipy import stats

from emudrift.errors import InputError
from emudrift.evaluation.blocks import block_edges
from emudrift.evaluation.findings import finding_of
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION, jackknife, simultaneous
from emudrift.evaluation.planning import enough, required_n


def estimate_of(rng: np.random.Generator, n: int, difference: float):
    """The estimate of a mean of n differences with standard deviation 10: the jackknife of block means."""
    edges = block_edges(n)
    blocks = rng.normal(difference, 10 / np.sqrt(np.diff(edges)))
    sizes, total = np.diff(edges), float(np.sum(np.diff(edges) * blocks))
    return jackknife(total / n, (total - sizes * blocks) / (n - sizes), edges)


@pytest.mark.parametrize("comparisons", [1, 6])
def test_a_promised_80_percent_is_found_by_the_test_of_the_findings(comparisons):
    """Pilot, plan and study, 800 times: findings about the first of several comparisons, the others without a difference."""
    rng, found = np.random.default_rng(comparisons), []
    for _ in range(800):
        n = required_n(estimate_of(rng, 400, 0.0).standard_error, 400, 1.0, comparisons)
        truths = [1.0] + [0.0] * (comparisons - 1)
        wide, _ = simultaneous([estimate_of(rng, n, truth) for truth in truths])[0]
        found.append(finding_of(wide.low, wide.high, True) == "worse")
    assert 0.75 < np.mean(found) < 0.9


def test_half_the_difference_needs_four_times_the_images_and_more_comparisons_more():
    n = required_n(1.0, 100, 1.5)
    assert required_n(2.0, 100, -1.5) == pytest.approx(4 * n, rel=0.01)
    assert required_n(1.0, 100, 1.5, comparisons=6) > 1.3 * n
    assert required_n(0.0, 100, 1.5) == 1
    # With an error that is known, 80 % power needs less: the price of a pilot.
    known = 100 * ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 1.5) ** 2
    assert known < n < 1.5 * known
    for wrong in ({"difference": 0}, {"power": 1.2}, {"standard_error": -1}, {"n": 0}, {"comparisons": 0}):
        with pytest.raises(InputError, match="required_n"):
            required_n(**({"standard_error": 1.0, "n": 100, "difference": 1.0} | wrong))


def test_one_number_from_a_pilot_at_the_limit_a_range_below_and_never_less_than_the_limit():
    dims = 64
    limit = math.ceil(MIN_N_PER_DIMENSION * dims)
    low, high = enough(1.0, 1.2, limit, dims, 1.0, 3)
    assert low == high == required_n(1.0, limit, 1.0, 3)
    low, high = enough(1.0, 1.2, limit - 1, dims, 1.0, 3)
    assert limit < low < required_n(1.0, limit - 1, 1.0, 3) < required_n(1.2, limit - 1, 1.0, 3) < high
    assert enough(1.0, math.nan, limit - 1, dims, 1.0, 3)[1] < high
    assert enough(0.01, 0.01, limit, dims, 1.0, 3) == (limit, limit)


def test_the_range_holds_what_is_needed_in_four_of_five_pilots():
    """Of pilots whose only fault is the error of 19 degrees of freedom."""
    rng, held = np.random.default_rng(0), []
    needed = required_n(1.0, 100, 0.5)
    for error in np.sqrt(rng.chisquare(19, 1000) / 19):
        low, high = enough(error, math.nan, 100, 64, 0.5, 1)
        held.append(low <= needed <= high)
    assert 0.76 < np.mean(held) < 0.84
