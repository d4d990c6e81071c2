"""Krippendorff's alpha: against a published example, an independent implementation, and truths known beforehand."""

import krippendorff
import numpy as np
import pytest

from emudrift.evaluation.human.agreement import alpha_interval, krippendorff_alpha

# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", part C: 4 observers, 12 units, some missing; 0: missing.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]


def counts_of(votes: np.ndarray, categories: int) -> np.ndarray:
    """(raters, units) with categories 1, 2, ... to (units, categories)."""
    return np.stack([(votes == category).sum(axis=0) for category in range(1, categories + 1)], axis=1)


def test_the_published_example():
    assert krippendorff_alpha(counts_of(np.array(PUBLISHED), 5)) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_as_an_independent_implementation(seed):
    rng = np.random.default_rng(seed)
    raters, units, categories = rng.integers(2, 7), rng.integers(3, 60), rng.integers(2, 5)
    truth = rng.integers(1, categories + 1, size=units)
    random = rng.integers(1, categories + 1, size=(raters, units))
    votes = np.where(rng.random((raters, units)) < rng.random(), truth, random)
    votes[rng.random(votes.shape) < 0.3] = 0
    # Units with one vote are in it, and must change nothing.
    oracle = krippendorff.alpha(np.where(votes == 0, np.nan, votes), level_of_measurement="nominal")
    assert krippendorff_alpha(counts_of(votes, int(categories))) == pytest.approx(oracle, abs=1e-12)


def test_full_agreement_is_1_and_chance_is_0():
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 4, size=5000)
    assert krippendorff_alpha(counts_of(np.stack([truth] * 5), 3)) == 1
    assert abs(krippendorff_alpha(counts_of(rng.integers(1, 4, size=(5, 5000)), 3))) < 0.02


@pytest.mark.parametrize("counts", [[[5, 0], [5, 0]], [[1, 0], [0, 1]], np.zeros((0, 3))])
def test_nothing_to_disagree_about_has_no_alpha(counts):
    assert np.isnan(krippendorff_alpha(np.array(counts)))
    assert np.isnan(alpha_interval(np.array(counts), 0)).all()


def test_the_interval_covers_the_true_alpha_as_often_as_it_says():
    """Raters copy a common truth with probability .6, else guess: alpha of the population is .36."""
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = rng.integers(1, 4, size=100)
        votes = np.where(rng.random((5, 100)) < 0.6, truth, rng.integers(1, 4, size=(5, 100)))
        low, high = alpha_interval(counts_of(votes, 3), seed)
        covered += low <= 0.36 <= high
    # 95 % of 200, less three standard errors; and not always.
    assert 180 <= covered < 200


def test_the_interval_is_the_same_again():
    counts = counts_of(np.array(PUBLISHED), 5)
    assert alpha_interval(counts, 7) == alpha_interval(counts, 7) != alpha_interval(counts, 8)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="expected"):
        krippendorff_alpha(np.zeros(3))
    with pytest.raises(ValueError, match="expected"):
        krippendorff_alpha(np.array([[-1, 2]]))
