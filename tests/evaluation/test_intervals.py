"""Jackknife intervals against a naive loop, the classical t interval, and Gaussians whose FID is known."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from emudrift.errors import InputError
from emudrift.evaluation.fid.frechet import fid, frechet_distance, project
from emudrift.evaluation.fid.resampling import Part, fids_without_blocks, random_halves, resample
from emudrift.evaluation.intervals import (
    block_edges,
    extrapolate,
    fid_infinity,
    half_sampling_error,
    holm,
    jackknife,
    paired_difference,
    simultaneous,
)
from emudrift.features.statistics import Statistics, reference_root, statistics


def features_like(n: int, d: int, seed: int, dead: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / np.sqrt(d) + 0.1 * seed, 0)
    x[:, :dead] = 0
    return x.astype(np.float32)


@pytest.mark.parametrize(
    ("n", "blocks", "expected"),
    [(500, 20, [25] * 20), (10, 20, [2] * 5), (4, 20, [2, 2]), (47, 20, [2] * 13 + [3] * 7), (9, 2, [4, 5])],
)
def test_blocks_are_contiguous_near_equal_and_complete(n, blocks, expected):
    edges = block_edges(n, blocks)
    assert (edges[0], edges[-1]) == (0, n)
    assert sorted(np.diff(edges)) == expected


def test_too_few_images_have_no_interval():
    with pytest.raises(InputError, match="at least 4 images, found 3"):
        block_edges(3)


def leave_one_out_means(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.array([np.delete(values, slice(a, b)).mean() for a, b in pairwise(edges)])


@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_the_jackknife_of_a_mean_is_the_t_interval_of_its_block_means(confidence):
    values = np.random.default_rng(0).exponential(size=200)
    edges = block_edges(200)
    result = jackknife(values.mean(), leave_one_out_means(values, edges), edges, confidence)
    block_means = values.reshape(20, 10).mean(axis=1)
    low, high = stats.t.interval(confidence, 19, loc=block_means.mean(), scale=stats.sem(block_means))
    assert (result.estimate, result.low, result.high) == pytest.approx((values.mean(), low, high), rel=1e-10)
    assert result.confidence == confidence
    assert "20 blocks" in result.method


def test_unequal_blocks_leave_the_mean_unbiased_and_its_variance_right():
    # Blocks of 2 and 3 rows; the variance of a mean of independent values is 1 / n.
    rng, edges = np.random.default_rng(0), block_edges(47)
    assert len(set(np.diff(edges))) == 2
    errors = []
    for values in rng.standard_normal((3000, 47)):
        result = jackknife(values.mean(), leave_one_out_means(values, edges), edges)
        assert result.estimate == pytest.approx(values.mean(), abs=1e-12)
        errors.append((result.high - result.low) / 2 / stats.t.ppf(0.975, 19))
    assert np.mean(np.square(errors)) == pytest.approx(1 / 47, rel=0.03)


def test_the_jackknife_removes_bias_of_order_one_over_n():
    # The biased variance Σ(x − x̄)²/n: with blocks of one row the jackknife makes it the unbiased one, exactly.
    values = np.random.default_rng(0).standard_normal(20)
    edges = np.arange(21)
    without = [np.delete(values, i).var() for i in range(20)]
    assert jackknife(values.var(), np.array(without), edges).estimate == pytest.approx(values.var(ddof=1), rel=1e-10)


def test_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match="one value for each of 20"):
        jackknife(1.0, np.ones(19), block_edges(100))
    with pytest.raises(ValueError, match=">= 2 blocks"):
        jackknife(1.0, np.ones(1), np.array([0, 9]))


def test_an_arm_does_not_differ_from_itself():
    root = reference_root(statistics(features_like(100, 16, 1)))
    features, edges = features_like(60, 16, 2), block_edges(60)
    full, without = (
        fid(features, root),
        fids_without_blocks(Part(project(features, root), slice(0, len(features))), edges),
    )
    difference = paired_difference(full, without, full, without, edges)
    assert (difference.estimate, difference.low, difference.high) == (0, 0, 0)


def test_a_paired_difference_is_the_jackknife_of_the_difference():
    edges, rng = block_edges(40), np.random.default_rng(0)
    a, b = rng.standard_normal((2, 40))
    result = paired_difference(a.mean(), leave_one_out_means(a, edges), b.mean(), leave_one_out_means(b, edges), edges)
    test = stats.ttest_rel(b.reshape(20, 2).mean(1), a.reshape(20, 2).mean(1)).confidence_interval()
    assert (result.low, result.high) == pytest.approx((test.low, test.high), rel=1e-9)


PARTS = ("full", "without", "halves", "halves_without")


def test_intervals_cover_a_known_fid_and_a_known_difference():
    """200 times two arms that share the captions' difficulty; b is less diverse, where plain differences fail."""
    d, n, rng = 8, 150, np.random.default_rng(1)
    spread = 4.0 / np.arange(1, d + 1)
    reference = Statistics(np.zeros(d), np.diag(spread))
    root, edges = reference_root(reference), block_edges(n)
    scales, shifts = np.array([[1.0], [0.7]]), np.array([0.3, 0.2])
    truths = [
        frechet_distance(Statistics(np.full(d, m), np.diag(s * spread)), reference)
        for s, m in zip(scales, shifts, strict=True)
    ]
    assert truths[1] == pytest.approx(d * 0.2**2 + ((1 - np.sqrt(0.7)) ** 2 * spread).sum())
    covered, plain, centre, end = np.zeros(6), 0.0, 0.0, 0.0
    for _ in range(200):
        shared = rng.standard_normal((n, d))
        arms = [
            (0.6 * shared + 0.8 * rng.standard_normal((n, d))) * np.sqrt(s * spread) + m
            for s, m in zip(scales, shifts, strict=True)
        ]
        fids = [resample(Part(project(arm, root), slice(0, n)), edges) for arm in arms]
        full, without = [each.full for each in fids], [each.without for each in fids]
        results = [jackknife(f, w, edges) for f, w in zip(full, without, strict=True)]
        results.append(paired_difference(full[0], without[0], full[1], without[1], edges))
        differences = [getattr(fids[1], name) - getattr(fids[0], name) for name in PARTS]
        results += [fid_infinity(*(getattr(each, name) for name in PARTS), edges) for each in fids]
        results.append(fid_infinity(*differences, edges))
        for i, (result, truth) in enumerate(zip(results, 2 * [*truths, truths[1] - truths[0]], strict=True)):
            covered[i] += result.low <= truth <= result.high
        plain += (full[0] - truths[0]) / 200
        centre += (results[0].estimate - truths[0]) / 200
        end += (results[3].estimate - truths[0]) / 200
    assert ((covered >= 0.88 * 200) & (covered <= 0.99 * 200)).all(), covered / 200
    assert abs(centre) < plain / 4
    assert abs(end) < plain / 4


# --- N to infinity ---


def test_a_line_in_one_over_n_is_found_again_and_least_squares_is_numpys():
    n = np.array([500, 1000, 5000])
    assert extrapolate(n, 7.5 + 4000 / n) == pytest.approx((7.5, 4000))
    fids = [20.0, 12.0, 9.5]
    slope, constant = np.polyfit(1 / n, fids, 1)
    assert extrapolate(n, fids) == pytest.approx((constant, slope))


@pytest.mark.parametrize(("n", "fids"), [([5, 5], [1, 2]), ([5], [1]), ([5, 6], [1]), ([0, 5], [1, 2])])
def test_what_gives_no_line_is_refused(n, fids):
    with pytest.raises(ValueError, match="at least 2 different"):
        extrapolate(n, fids)


@pytest.mark.parametrize("n", [8, 43, 100])
def test_fid_infinity_removes_a_bias_of_one_over_n_exactly(n):
    edges, level = block_edges(n), 3.25
    sizes, middle = np.diff(edges), (len(edges) - 1) // 2
    curve = lambda k: level + 70 / np.asarray(k)  # noqa: E731
    halves = edges[[middle]][0], n - edges[middle]
    inside = np.where(np.arange(len(sizes)) < middle, halves[0] - sizes, halves[1] - sizes)
    result = fid_infinity(curve(n), curve(n - sizes), curve(halves), curve(inside), edges)
    assert (result.estimate, result.low, result.high) == pytest.approx((level, level, level), abs=1e-9)


def test_fid_infinity_of_a_mean_has_the_errors_of_the_mean():
    # A mean has no bias: both halves together say what all say, and the interval is that of the block means.
    values, edges = np.random.default_rng(0).exponential(size=200), block_edges(200)
    halves = [values[:100], values[100:]]
    inside = np.concatenate([leave_one_out_means(half, block_edges(100, 10)) for half in halves])
    without = leave_one_out_means(values, edges)
    result = fid_infinity(values.mean(), without, np.array([half.mean() for half in halves]), inside, edges)
    assert result.estimate == pytest.approx(values.mean())
    plain = jackknife(values.mean(), without, edges)
    assert result.standard_error == pytest.approx(plain.standard_error, rel=0.1)
    with pytest.raises(ValueError, match="3 >= 4"):
        fid_infinity(1.0, np.ones(3), np.ones(2), np.ones(3), np.array([0, 2, 4, 6]))


# --- several comparisons, and how many images ---


def test_p_values_are_those_of_the_paired_t_test():
    edges, rng = block_edges(40), np.random.default_rng(0)
    a, b = rng.standard_normal((2, 40)) + np.array([[0], [0.5]])
    result = paired_difference(a.mean(), leave_one_out_means(a, edges), b.mean(), leave_one_out_means(b, edges), edges)
    assert result.p_value == pytest.approx(stats.ttest_rel(b.reshape(20, 2).mean(1), a.reshape(20, 2).mean(1)).pvalue)
    flat = jackknife(1.0, np.ones(20), edges)
    assert (flat.standard_error, flat.p_value) == pytest.approx((0, 0), abs=1e-12)
    assert jackknife(0.0, np.zeros(20), edges).p_value == 1


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # Holm's own steps: 4, 3, 2 and 1 times.
        ([0.04], [0.04]),
        ([0.7, 0.6, 0.9], [1, 1, 1]),
        ([], []),
    ],
)
def test_holm_multiplies_step_by_step(p, adjusted):
    assert holm(p) == pytest.approx(adjusted)


def test_holm_keeps_the_chance_of_any_false_finding():
    p = np.random.default_rng(0).uniform(size=(4000, 6))
    assert np.mean([min(holm(row)) < 0.05 for row in p]) == pytest.approx(0.05, abs=0.012)
    assert np.mean((p < 0.05).any(axis=1)) > 0.2
    with pytest.raises(ValueError, match="0 to 1"):
        holm([0.2, float("nan")])


def test_the_half_sampling_error_of_a_mean_is_its_textbook_standard_error():
    """A mean is linear: its standard error is known, paired and with a bias that both halves share."""
    rng = np.random.default_rng(4)
    a = rng.standard_normal(1000)
    b = a + 0.5 * rng.standard_normal(1000)
    halves = list(random_halves(1000)) + [
        (order[:500], order[500:]) for order in (rng.permutation(1000) for _ in range(2000))
    ]

    def means(values, chosen):
        return np.array([[values[one].mean() + 7, values[other].mean() + 7] for one, other in chosen])

    expected = np.std(b - a, ddof=1) / np.sqrt(1000)
    assert half_sampling_error(means(a, halves), means(b, halves)) == pytest.approx(expected, rel=0.05)
    # 40 of them are enough to see an error that is wrong by a factor of 2.
    assert half_sampling_error(means(a, halves[:40]), means(b, halves[:40])) == pytest.approx(expected, rel=0.5)
    with pytest.raises(ValueError, match="expected"):
        half_sampling_error(np.zeros(3), np.zeros(3))


def test_simultaneous_intervals_are_wider_and_agree_with_their_p_values():
    edges, rng = block_edges(40), np.random.default_rng(1)
    values = rng.standard_normal((3, 40)) + np.array([[0.0], [0.4], [1.5]])
    single = [jackknife(each.mean(), leave_one_out_means(each, edges), edges) for each in values]
    for one, (wide, p) in zip(single, simultaneous(single), strict=True):
        assert wide.low < one.low < one.high < wide.high
        assert (wide.low > 0) == (p < 0.05)
