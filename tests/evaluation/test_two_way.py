"""Means over prompts and raters: against the analysis of variance by hand, a fit by least squares, and simulated truths."""

import sys

import numpy as np
import pytest
from conftest import ROOT
from scipy.stats import t

sys.path.insert(0, str(ROOT / "bench"))
import human_coverage

from emudrift.evaluation.human.two_way import Spread, spread, two_way_interval


def crossed(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Votes (prompts, raters), NaN where missing, as a list."""
    prompts, raters = np.nonzero(~np.isnan(table))
    return table[prompts, raters], prompts, raters


def mean_squares(table: np.ndarray) -> tuple[float, float, float]:
    """Of prompts, raters and the rest, by the textbook's sums."""
    p, r = table.shape
    mean, of_prompt, of_rater = table.mean(), table.mean(axis=1), table.mean(axis=0)
    rest = table - of_prompt[:, None] - of_rater + mean
    return (
        r * np.sum((of_prompt - mean) ** 2) / (p - 1),
        p * np.sum((of_rater - mean) ** 2) / (r - 1),
        np.sum(rest**2) / ((p - 1) * (r - 1)),
    )


@pytest.mark.parametrize("seed", range(5))
def test_all_votes_given_it_is_the_analysis_of_variance(seed):
    rng = np.random.default_rng(seed)
    p, r = 30, 5
    table = np.sign(rng.normal(size=(p, 1)) + rng.normal(size=r) + rng.normal(size=(p, r)) + 0.3)
    found = two_way_interval(*crossed(table), 0.95)
    table = np.vstack([table, np.ones(r), -np.ones(r)])
    ms_p, ms_r, ms_e = mean_squares(table)
    variance = (ms_p + ms_r - ms_e) / table.size
    degrees = (ms_p + ms_r - ms_e) ** 2 / (ms_p**2 / (p + 1) + ms_r**2 / (r - 1) + ms_e**2 / ((p + 1) * (r - 1)))
    assert found.standard_error == pytest.approx(np.sqrt(variance))
    assert found.degrees == int(degrees)
    assert found.high - found.estimate == pytest.approx(t.ppf(0.975, int(degrees)) * np.sqrt(variance))


def test_with_votes_missing_the_rest_is_that_of_least_squares():
    rng = np.random.default_rng(1)
    table = np.sign(rng.normal(size=(25, 1)) + rng.normal(size=6) + rng.normal(size=(25, 6)))
    table[rng.random(table.shape) < 0.3] = np.nan
    values, prompts, raters = crossed(table)
    design = np.hstack([np.eye(25)[prompts], np.eye(6)[raters]])
    fit = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    left = np.sum((values - fit) ** 2) / (len(values) - np.linalg.matrix_rank(design))
    assert spread(values, prompts, raters).rest == pytest.approx(np.sqrt(left))


def test_a_known_spread_is_found():
    rng = np.random.default_rng(0)
    table = 0.5 * rng.normal(size=(400, 1)) + 0.3 * rng.normal(size=200) + 0.8 * rng.normal(size=(400, 200))
    found = spread(*crossed(table))
    assert (found.prompts, found.raters, found.rest) == pytest.approx((0.5, 0.3, 0.8), rel=0.15)
    # And the error of a mean of other numbers of both, by its definition.
    error, _ = Spread(0.5, 0.3, 0.8).error(100, 5)
    assert error == pytest.approx(np.sqrt(0.25 / 100 + 0.09 / 5 + 0.64 / 500))


def test_more_raters_help_where_raters_differ_and_more_prompts_where_prompts_do():
    differing, agreeing = Spread(0.3, 0.4, 0.5), Spread(0.6, 0.0, 0.5)
    assert differing.detectable(100, 10) < 0.7 * differing.detectable(200, 5)
    assert agreeing.detectable(200, 5) < 0.75 * agreeing.detectable(100, 5)
    assert agreeing.detectable(100, 10) > 0.9 * agreeing.detectable(100, 5)


@pytest.mark.parametrize("value", [1.0, 0.0, -1.0])
def test_votes_that_all_agree_are_not_certain(value):
    found = two_way_interval(*crossed(np.full((10, 3), value)), 0.95)
    assert found.low < value * 10 / 12 < found.high
    assert found.low <= value <= found.high


def test_each_prompt_by_one_rater_only_subtracts_nothing():
    found = two_way_interval(np.array([1.0, -1, 1, 0]), np.arange(4), np.array([0, 0, 1, 1]), 0.95)
    assert np.isfinite(found.low)
    assert found.low <= 0.25 <= found.high


def test_one_rater_is_refused():
    with pytest.raises(ValueError, match="one rater"):
        two_way_interval(np.ones(3), np.arange(3), np.zeros(3), 0.95)


@pytest.mark.parametrize(("design", "spread"), [("complete", 0.6), ("rotating", 0.4)])
def test_intervals_cover_the_truth_where_raters_differ(design, spread):
    """The benchmark, 500 studies; over prompts only, as long as nobody asks other raters, six in ten or eight in ten do."""
    row = human_coverage.study(design, 0.6, spread, 500)
    assert 0.92 <= row["coverage"] <= 0.98, row
    assert row["coverage_prompts_only"] < 0.87, row


def test_the_truth_of_the_benchmark_is_that_of_many_votes():
    rng = np.random.default_rng(0)
    many = [human_coverage.draw("rotating", 0.6, 0.4, rng)[0].mean() for _ in range(2000)]
    assert human_coverage.true_mean(0.6, 0.4) == pytest.approx(np.mean(many), abs=4 * np.std(many) / np.sqrt(2000))
