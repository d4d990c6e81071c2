"""FIDs of parts of a set against the FID of the same rows alone."""

from itertools import pairwise

import numpy as np
import pytest

from emudrift.evaluation.fid import resampling
from emudrift.evaluation.fid.frechet import fid, project
from emudrift.evaluation.fid.resampling import (
    Part,
    fids_without_blocks,
    nested_parts,
    random_halves,
    resample,
    resample_pairs,
)
from emudrift.evaluation.intervals import block_edges
from emudrift.features.statistics import ReferenceRoot, reference_root, statistics


def features_like(n: int, d: int, seed: int, dead: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / np.sqrt(d) + 0.1 * seed, 0)
    x[:, :dead] = 0
    return x.astype(np.float32)


def without_blocks(features: np.ndarray, root: ReferenceRoot, edges: np.ndarray) -> np.ndarray:
    return fids_without_blocks(Part(project(features, root), slice(0, len(features))), edges)


# Eigenvalues are exact where no dimension is dead, good enough where some are, and replaced by an SVD on demand.
@pytest.mark.parametrize(("dead", "tolerance", "exact_to"), [(0, 1e-8, 1e-9), (40, 1e-8, 1e-7), (40, 1e-12, 1e-9)])
@pytest.mark.parametrize("n", [4, 13, 40, 61, 64, 66, 70, 301])
def test_leave_one_out_equals_the_naive_loop(n, dead, tolerance, exact_to, monkeypatch):
    monkeypatch.setattr(resampling, "TOLERANCE", tolerance)
    # n = 61 to 70 crosses the rank of the reference, with and without the block.
    root = reference_root(statistics(features_like(200, 64, 1)))
    features, edges = features_like(n, 64, 2, dead), block_edges(n)
    naive = [fid(np.delete(features, slice(a, b), axis=0), root) for a, b in pairwise(edges)]
    np.testing.assert_allclose(without_blocks(features, root, edges), naive, rtol=exact_to)


def test_leave_one_out_of_a_memory_map(tmp_path):
    root, features, edges = (
        reference_root(statistics(features_like(50, 8, 1))),
        features_like(30, 8, 2),
        block_edges(30),
    )
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    np.testing.assert_array_equal(without_blocks(mapped, root, edges), without_blocks(features, root, edges))


def test_nested_parts_equal_the_rows_alone_at_every_size():
    features, root = features_like(400, 64, 2), reference_root(statistics(features_like(200, 64, 1)))
    sizes = [300, 2, 63, 64, 65, 130, 400]
    parts = list(nested_parts(project(features, root), sizes))
    assert [len(part) for part in parts] == sorted(sizes)
    for part in parts:
        alone = features[: len(part)]
        assert part.fid() == pytest.approx(fid(alone, root), rel=1e-10)
        if len(part) > 10:
            assert part.fid(without=slice(3, 9)) == pytest.approx(fid(np.delete(alone, slice(3, 9), 0), root), rel=1e-9)


def test_a_part_far_from_the_mean_of_all_costs_no_digits():
    # Two clusters: deviations of a part from the common mean are as large as they can be.
    features = np.concatenate([features_like(150, 32, 2), features_like(150, 32, 2)[::-1] + np.float32(50)])
    root = reference_root(statistics(features_like(200, 32, 1)))
    projection = project(features, root)
    for rows in (slice(0, 150), slice(150, 170), slice(20, 45)):
        assert Part(projection, rows).fid() == pytest.approx(fid(features[rows], root), rel=1e-8)


@pytest.mark.parametrize("n", [13, 60, 140])
def test_halves_and_their_parts_equal_the_rows_alone(n):
    features, real, edges = features_like(n, 32, 2), features_like(n, 32, 1), block_edges(n)
    root, middle = reference_root(statistics(real)), edges[(len(edges) - 1) // 2]
    fixed = resample(Part(project(features, root), slice(0, n)), edges)
    paired = resample_pairs(features, real, edges)
    for result, of in (
        (fixed, lambda kept: fid(features[kept], root)),
        (paired, lambda kept: fid(features[kept], reference_root(statistics(real[kept])))),
    ):
        rows = np.arange(n)
        assert result.full == pytest.approx(of(rows), rel=1e-10)
        np.testing.assert_allclose(result.halves, [of(rows[:middle]), of(rows[middle:])], rtol=1e-8)
        for g, (a, b) in enumerate(pairwise(edges)):
            half = rows[:middle] if a < middle else rows[middle:]
            assert result.without[g] == pytest.approx(of(np.delete(rows, slice(a, b))), rel=1e-7)
            assert result.halves_without[g] == pytest.approx(of(half[(half < a) | (half >= b)]), rel=1e-7)
        expected = [[of(one), of(other)] for one, other in random_halves(n)]
        np.testing.assert_allclose(result.random_halves, expected, rtol=1e-7)


def test_fewer_than_four_blocks_have_no_halves():
    features, root = features_like(7, 8, 2), reference_root(statistics(features_like(50, 8, 1)))
    result = resample(Part(project(features, root), slice(0, 7)), block_edges(7))
    assert result.halves is None
    assert result.halves_without is None
    assert len(result.without) == 3
    assert resample_pairs(features, features_like(7, 8, 1), block_edges(7)).halves is None


def test_images_that_equal_their_references_are_at_distance_zero_however_few():
    features = features_like(40, 8, 2)
    result = resample_pairs(features, features, block_edges(40))
    assert np.abs([result.full, *result.without, *result.halves, *result.halves_without]).max() < 1e-6


def test_random_halves_hold_every_row_once_and_are_the_same_for_every_arm():
    for n in (5, 40):
        for one, other in random_halves(n):
            assert sorted([*one, *other]) == list(range(n))
            assert len(other) - len(one) == n % 2
        assert len({tuple(one) for one, _ in random_halves(40)}) == 40
        for (one, _), (again, _) in zip(random_halves(n), random_halves(n), strict=True):
            np.testing.assert_array_equal(one, again)
