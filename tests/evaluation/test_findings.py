"""The rule that gives a finding, and the two parts of a distance."""

import math

import numpy as np
import pytest

from emudrift.evaluation.blocks import prompt_blocks
from emudrift.evaluation.fid.frechet import fid
from emudrift.evaluation.fid.parts import mean_part
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.evaluation.findings import finding_of
from emudrift.features.statistics import reference_root, statistics


@pytest.mark.parametrize(
    ("low", "high", "margin", "finding"),
    [
        (1, 3, math.nan, "worse"),
        (-3, -1, math.nan, "better"),
        (-1, 3, math.nan, "inconclusive"),
        (0, 0, math.nan, "inconclusive"),
        (1, 3, 2, "worse"),
        (0.1, 1.9, 2, "no worse than the margin"),
        (-1.9, 1.9, 2, "no worse than the margin"),
        (-9, 1.9, 2, "no worse than the margin"),
        (-1, 2, 2, "inconclusive"),
        (-9, -0.1, 2, "better"),
        (-1, 3, 2, "inconclusive"),
    ],
)
def test_the_ends_of_an_interval_decide(low, high, margin, finding):
    assert finding_of(low, high, True, margin) == finding
    assert finding_of(low, high, False, margin) == "too few images"


def test_equal_arms_are_rarely_called_different_and_a_loss_of_the_margin_rarely_no_loss():
    """The error rates of the rule, for a normal estimate of known error: each one-sided test errs in 2.5 %."""
    rng = np.random.default_rng(0)
    for truth, wrong in ((0.0, {"worse", "better"}), (2.0, {"no worse than the margin", "better"})):
        found = [finding_of(each - 1.96, each + 1.96, True, 2.0) for each in truth + rng.standard_normal(4000)]
        rate = np.mean([each in wrong for each in found])
        assert rate < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_the_part_of_the_means_is_that_of_the_truth_whatever_n():
    """Of 600 draws with n = 40 in 8 dimensions, whose plain part is 8 / 40 too large for each unit of variance."""
    rng, shift = np.random.default_rng(1), np.full(8, 0.5)
    reference = reference_root(statistics(np.eye(8).repeat(4, axis=0)))
    found = [
        mean_part(Sample(rng.standard_normal((40, 8)) + reference.mu + shift, prompt_blocks(40)), reference)
        for _ in range(600)
    ]
    error = np.std(found) / math.sqrt(600)
    assert np.mean(found) == pytest.approx(2.0, abs=4 * error)
    assert 4 * error < 8 / 40


def test_arms_that_differ_in_their_means_alone_differ_in_that_part_alone():
    rng = np.random.default_rng(2)
    real, images, blocks = rng.standard_normal((300, 6)), rng.standard_normal((200, 6)), prompt_blocks(200)
    reference, moved = reference_root(statistics(real)), images + 1.5
    parts = mean_part(Sample(moved, blocks), reference) - mean_part(Sample(images, blocks), reference)
    assert parts == pytest.approx(fid(moved, reference) - fid(images, reference))


def test_identical_images_of_the_same_captions_have_no_part():
    features = np.random.default_rng(3).standard_normal((60, 5))
    real = Sample(features, prompt_blocks(60))
    assert mean_part(real, real) == 0
    near = mean_part(Sample(features + 0.5, prompt_blocks(60)), real)
    assert near == pytest.approx(5 * 0.25)
