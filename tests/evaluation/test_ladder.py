"""The ladder, from features whose degradations are known."""

import math

import numpy as np
import pytest

from emudrift.evaluation.fid.frechet import frechet_distance
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION
from emudrift.evaluation.ladder import LadderRecord, chosen_rows, ladder
from emudrift.features.degradations import STEPS, Degradation
from emudrift.features.statistics import reference_root, statistics

DIMS, REAL = 6, 120
FEATURES = np.random.default_rng(0).standard_normal((REAL, DIMS)) * np.arange(1, DIMS + 1)
SHIFTS = {step: 0.5 + place for place, step in enumerate(STEPS)}


def made(features: np.ndarray = FEATURES, noise: float = 0.0) -> LadderRecord:
    """A ladder whose steps shift the features by a known length."""
    rows = chosen_rows(*features.shape)
    rng = np.random.default_rng(1)

    def degraded(step: Degradation) -> np.ndarray:
        found = features[rows] + noise * rng.standard_normal((len(rows), features.shape[1]))
        found[:, 0] += SHIFTS[step]
        return found

    return ladder(features, rows, reference_root(statistics(features)), degraded)


def test_as_many_images_as_a_finding_needs_and_the_same_in_every_run():
    rows = chosen_rows(1000, 8)
    assert len(rows) == len(set(rows)) == math.ceil(MIN_N_PER_DIMENSION * 8)
    assert (rows == chosen_rows(1000, 8)).all()
    assert sorted(chosen_rows(10, 8)) == list(range(10))


def test_a_shift_of_all_images_costs_its_square_exactly():
    found = made()
    assert (found.n, found.reference_n, found.dims, found.reliable) == (math.ceil(2.5 * DIMS), REAL, DIMS, True)
    costs = {rung.label: rung.distance for rung in found.rungs}
    for step, shift in SHIFTS.items():
        assert costs[step.label] == pytest.approx(shift**2)


def test_steps_of_diversity_are_means_over_disjoint_sets_against_the_whole_reference():
    """Against the distance between two statistics, by the other formula."""
    features = np.random.default_rng(2).standard_normal((400, 20))
    found = {rung.label: rung for rung in made(features).rungs if rung.kind == "diversity"}
    assert list(found) == [f"only {size} different real images" for size in (10, 5, 2)]
    rows, whole = chosen_rows(*features.shape), statistics(features)
    sets = [rows[start : start + 5] for start in range(0, len(rows) - 4, 5)]
    expected = np.mean([frechet_distance(statistics(features[each]), whole) for each in sets])
    assert found["only 5 different real images"].distance == pytest.approx(expected)


def test_real_against_real_is_what_n_alone_adds_and_nothing_is_below_0():
    found = made(noise=1e-3)
    (real,) = (rung for rung in found.rungs if rung.kind == "real")
    rows = chosen_rows(REAL, DIMS)
    others = statistics(np.delete(FEATURES, rows, axis=0))
    assert real.distance == pytest.approx(frechet_distance(statistics(FEATURES[rows]), others))
    assert all(0 <= rung.low <= rung.distance <= rung.high for rung in found.rungs)
    # Where most of the reference is degraded, no set of others of that size is left.
    assert not [rung for rung in made(FEATURES[:20]).rungs if rung.kind == "real"]
