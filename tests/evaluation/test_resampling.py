"""FIDs of subsets of blocks against the FID of the same rows alone, and which rows are a block."""

import numpy as np
import pytest

from emudrift.errors import InputError
from emudrift.evaluation.blocks import Blocks, prompt_blocks, reference_blocks
from emudrift.evaluation.fid import resampling
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.frechet import fid, project
from emudrift.evaluation.fid.resampling import HALVINGS, SPLITS, Part, block_splits, fixed_distances, resample
from emudrift.evaluation.fid.two_sample import Sample, distances, factor
from emudrift.features.statistics import reference_root, statistics


def features_like(n: int, d: int, seed: int, dead: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / np.sqrt(d) + 0.1 * seed, 0)
    x[:, :dead] = 0
    return x.astype(np.float32)


def subsets(groups: int) -> list[np.ndarray]:
    """All, all but one, a half, a quarter."""
    place = np.arange(groups)
    return [place >= 0, place != 0, place != groups - 1, place < (groups + 1) // 2, place % 4 == 0]


def rows_alone(blocks: Blocks, kept: np.ndarray) -> np.ndarray:
    return np.flatnonzero(kept[blocks.labels])


# Eigenvalues are exact where no dimension is dead, good enough where some are, and replaced by an SVD on demand.
@pytest.mark.parametrize(("dead", "tolerance", "exact_to"), [(0, 1e-8, 1e-9), (40, 1e-8, 1e-7), (40, 1e-12, 1e-9)])
@pytest.mark.parametrize("n", [8, 13, 40, 61, 64, 66, 70, 301])
def test_any_blocks_against_a_fixed_reference_are_the_fid_of_their_rows_alone(
    n, dead, tolerance, exact_to, monkeypatch
):
    monkeypatch.setattr(resampling, "TOLERANCE", tolerance)
    # n = 61 to 70 crosses the rank of the reference, with and without a block.
    root = reference_root(statistics(features_like(200, 64, 1)))
    features, blocks = features_like(n, 64, 2, dead), prompt_blocks(n)
    found = fixed_distances(features, root, blocks)
    for kept in subsets(len(blocks)):
        alone = fid(features[rows_alone(blocks, kept)], root)
        assert found(kept) == pytest.approx(alone, rel=exact_to)


@pytest.mark.parametrize("dead", [0, 5])
@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 700), (300, 45), (700, 400), (300, 90), (301, 70)])
def test_blocks_left_out_of_both_sides_give_the_fid_of_what_is_left(n, m, dead):
    """Few or many rows on either side of d = 32, with dimensions that are always 0, where a covariance is singular."""
    features, real, blocks = features_like(n, 32, 2, dead), features_like(m, 32, 1), prompt_blocks(n)
    of_real = reference_blocks(m, blocks)
    found = distances(Sample(features, blocks), Sample(real, of_real))
    for kept in subsets(len(blocks)):
        root = reference_root(statistics(real[rows_alone(of_real, kept)]))
        assert found(kept) == pytest.approx(fid(features[rows_alone(blocks, kept)], root), rel=1e-7)


def test_a_factor_of_a_singular_covariance_gives_it_back():
    rows = np.random.default_rng(0).standard_normal((200, 6)) @ np.random.default_rng(1).standard_normal((6, 9))
    for sigma in (np.cov(rows, rowvar=False), np.cov(rows[:, :6], rowvar=False)):
        half = factor(sigma)
        np.testing.assert_allclose(half.T @ half, sigma, atol=1e-10)


def test_a_memory_map_gives_the_same(tmp_path):
    root, features = reference_root(statistics(features_like(50, 8, 1))), features_like(30, 8, 2)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert compute_fid(mapped, root) == compute_fid(features, root)


def test_a_part_far_from_the_mean_of_all_costs_no_digits():
    # Two clusters: deviations of a part from the common mean are as large as they can be.
    features = np.concatenate([features_like(150, 32, 2), features_like(150, 32, 2)[::-1] + np.float32(50)])
    root = reference_root(statistics(features_like(200, 32, 1)))
    projection = project(features, root)
    for rows in (slice(0, 150), slice(150, 170), slice(20, 45)):
        assert Part(projection, rows).fid() == pytest.approx(fid(features[rows], root), rel=1e-8)


def test_what_is_resampled_are_blocks_halves_quarters_and_random_halves():
    asked = []

    def share(kept: np.ndarray) -> float:
        asked.append(kept)
        return float(np.mean(kept))

    found = resample(share, 20, random_halves=True)
    assert (found.full, *found.without) == pytest.approx([1.0] + [0.95] * 20)
    assert found.halves.tolist() == [0.5] * SPLITS
    assert found.quarters.tolist() == [0.25] * SPLITS
    assert found.random_halves.shape == (HALVINGS, 2)
    assert len(asked) == 1 + 20 + SPLITS * 6 + HALVINGS * 2
    assert resample(share, 20).random_halves is None
    few = resample(share, 3)
    assert (few.halves, few.quarters) == (None, None)
    assert len(few.without) == 3


def test_splits_hold_every_block_once_and_are_the_same_for_every_arm():
    for groups in (8, 13, 20):
        for parts in block_splits(groups, 5, 4):
            assert (np.sum(parts, axis=0) == 1).all()
            assert max(map(np.sum, parts)) - min(map(np.sum, parts)) <= 1
        for one, again in zip(block_splits(groups, 5, 2), block_splits(groups, 5, 2), strict=True):
            np.testing.assert_array_equal(one, again)
    assert len({tuple(one) for one, _ in block_splits(20, 40, 2)}) == 40


# --- images that depend on the reference ---


def test_reconstructions_of_the_reference_are_at_their_distance_and_never_below_0():
    """Of a quarter of the real images, each in the block of its own: 40 draws. Held fixed, the correction goes far below 0."""
    d, m, n = 16, 800, 200
    rng, far, low, high = np.random.default_rng(5), [], [], []
    for _ in range(40):
        real = rng.standard_normal((m, d)) * np.sqrt(4.0 / np.arange(1, d + 1))
        places = rng.permutation(m)[:n]
        features, blocks = real[places] + 0.02 * rng.standard_normal((n, d)), prompt_blocks(n)
        found = compute_fid(features, Sample(real, reference_blocks(m, blocks, places)), blocks)
        low.append(found.low)
        high.append(found.high)
        far.append(compute_fid(features, reference_root(statistics(real)), blocks))
    assert min(low) >= 0
    # The truth is about d x 0.02^4 / 4 of the variance: nothing.
    assert np.mean(np.array(low) <= 1e-3) >= 0.9
    assert np.mean(high) < np.mean([each.fid for each in far])
    assert all(0 <= each.low <= each.fid_jackknife <= each.high for each in far)


# --- which rows are a block ---


@pytest.mark.parametrize(("n", "blocks"), [(500, 20), (47, 20), (10, 5), (4, 2), (5, 2)])
def test_blocks_of_single_prompts_are_near_equal_and_stay_when_n_grows(n, blocks):
    found = prompt_blocks(n)
    sizes = np.bincount(found.labels)
    assert (len(found), sizes.sum()) == (blocks, n)
    assert np.ptp(sizes) <= 1
    if n >= 40:
        np.testing.assert_array_equal(prompt_blocks(2 * n).labels[:n], found.labels)
    np.testing.assert_array_equal(np.sort(found.order), np.arange(n))
    for block in range(blocks):
        rows = found.order[found.edges[block] : found.edges[block + 1]]
        assert set(found.labels[rows]) == {block}


def test_prompts_of_a_group_are_in_one_block_whatever_their_order():
    groups = [f"theme {number}" for number in np.random.default_rng(0).permutation(np.repeat(np.arange(60), 5))]
    found = prompt_blocks(300, groups)
    assert len(found) == 20
    for group in set(groups):
        assert len({found.labels[row] for row in range(300) if groups[row] == group}) == 1
    # 60 groups in 20 blocks.
    assert set(np.diff(found.edges)) == {15}
    assert len(prompt_blocks(30, ["a", "b", "c"] * 10)) == 3


def test_too_few_prompts_or_groups_are_refused():
    with pytest.raises(InputError, match="at least 4 images, found 3"):
        prompt_blocks(3)
    with pytest.raises(InputError, match="all 9 prompts are in the group 'x'; an interval needs at least 2 groups"):
        prompt_blocks(9, ["x"] * 9)
    with pytest.raises(InputError, match="the reference has 39 images; expected at least 40, 2 for each of 20 blocks"):
        reference_blocks(39, prompt_blocks(100))


@pytest.mark.parametrize("m", [1000, 1013, 400])
def test_a_real_image_is_in_the_block_of_its_prompt_and_the_others_fill_up(m):
    prompts = prompt_blocks(300)
    places = np.random.default_rng(1).permutation(m)[:300]
    places[::7] = -1
    found = reference_blocks(m, prompts, places)
    assert len(found) == 20
    assert np.ptp(np.diff(found.edges)) <= 1
    there = places >= 0
    np.testing.assert_array_equal(found.labels[places[there]], prompts.labels[there])
    np.testing.assert_array_equal(found.labels, reference_blocks(m, prompts, places).labels)


def test_a_reference_whose_images_all_belong_to_few_groups_keeps_them_together():
    prompts = prompt_blocks(90, [row % 3 for row in range(90)])
    found = reference_blocks(90, prompts, np.arange(90))
    np.testing.assert_array_equal(found.labels, prompts.labels)
