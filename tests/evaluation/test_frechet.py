"""The Fréchet distance against pytorch-fid's, a float64 SVD, and Gaussians whose distance is known in closed form."""

import subprocess
import sys

import numpy as np
import pytest

import emudrift.runtime.torchvision_fix  # noqa: F401  isort: skip
from pytorch_fid.fid_score import calculate_frechet_distance

from emudrift.errors import InputError
from emudrift.evaluation.fid.frechet import fid, frechet_distance
from emudrift.features import statistics as module
from emudrift.features.statistics import (
    Statistics,
    load_reference_root,
    load_statistics,
    reference_root,
    statistics,
    write_statistics,
)


def inception_like(
    n: int, d: int, seed: int, *, gain: float = 1.0, decay: float = 1.0, dead: slice = slice(0)
) -> np.ndarray:
    """Features (n, d) as Inception's are: none negative, many zero, heavy tails, λ_max about 2 to 5, dead dimensions.

    decay: steepness of the spectrum, λ_k ~ k^-decay before the ReLU.
    """
    basis = np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0]
    spectrum = 5.0 * np.arange(1, d + 1) ** -decay
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((n, d)) * np.sqrt(spectrum) * np.exp(0.5 * rng.standard_normal((n, 1)))
    features = np.maximum(gain * scores @ basis.T - 0.2 * np.sqrt(((basis**2) * spectrum).sum(axis=1)), 0)
    features[:, : d // 20] = 0
    features[:, dead] = 0
    return features.astype(np.float32)


def by_svd(features: np.ndarray, reference: np.ndarray) -> float:
    """FID with the roots of both covariances from SVDs of the data: nothing is ever squared."""
    x, y = features.astype(np.float64), reference.astype(np.float64)
    a, b = (x - x.mean(0)) / np.sqrt(len(x) - 1), (y - y.mean(0)) / np.sqrt(len(y) - 1)
    # ‖a bᵀ‖_* = tr (Σ_a Σ_b)^½.
    difference = x.mean(0) - y.mean(0)
    return float(
        difference @ difference + (a**2).sum() + (b**2).sum() - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()
    )


@pytest.mark.parametrize(("d", "n", "reference_n"), [(256, 4000, 5000), (64, 2500, 300)])
def test_equals_pytorch_fid_for_large_samples(d, n, reference_n):
    generated, real = inception_like(n, d, 1, gain=0.9), inception_like(reference_n, d, 2)
    moments = [(x.mean(0, dtype=np.float64), np.cov(x.astype(np.float64), rowvar=False)) for x in (generated, real)]
    expected = calculate_frechet_distance(*moments[0], *moments[1])
    assert fid(generated, reference_root(statistics(real))) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(statistics(generated), statistics(real)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("decay", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("n", [2, 50, 255, 256, 257, 700])
def test_equals_a_singular_value_solution_at_every_n(n, decay):
    generated, real = inception_like(n, 256, 1, gain=0.9, decay=decay), inception_like(600, 256, 2, decay=decay)
    assert fid(generated, reference_root(statistics(real))) == pytest.approx(by_svd(generated, real), rel=1e-8)


@pytest.mark.parametrize("n", [100, 700])
def test_dimensions_dead_in_the_generated_images_alone_cost_no_digits(n):
    generated, real = inception_like(n, 256, 1, dead=slice(100, 180)), inception_like(600, 256, 2)
    assert fid(generated, reference_root(statistics(real))) == pytest.approx(by_svd(generated, real), rel=1e-9)


@pytest.mark.parametrize("decay", [0.3, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("n", [20, 200, 256, 1000])
def test_identical_sets_are_at_distance_zero(n, decay):
    features = inception_like(n, 256, 3, decay=decay)
    stats = statistics(features)
    assert abs(fid(features, reference_root(stats))) < 1e-6
    assert abs(frechet_distance(stats, stats)) < 1e-6


def test_full_size_identical_sets_are_at_distance_zero():
    features = inception_like(600, 2048, 3, decay=1.0)
    assert abs(fid(features, reference_root(statistics(features)))) < 1e-6


def test_commuting_gaussians_have_their_closed_form_distance():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    a, b = rng.exponential(size=30), rng.exponential(size=30)
    a[:5] = b[3:8] = 0  # Singular, in directions that overlap in part.
    mu = rng.standard_normal((2, 30))
    expected = ((mu[0] - mu[1]) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    stats = [Statistics(mean, (basis * values) @ basis.T) for mean, values in zip(mu, (a, b), strict=True)]
    assert frechet_distance(*stats) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(*stats) == pytest.approx(frechet_distance(*stats[::-1]), rel=1e-10)


def test_constant_images_are_at_the_distance_of_a_point():
    real = inception_like(300, 64, 2)
    generated = np.full((50, 64), 0.3, np.float32)
    expected = ((np.float32(0.3) - real.mean(0, dtype=np.float64)) ** 2).sum() + real.astype(np.float64).var(
        0, ddof=1
    ).sum()
    assert fid(generated, reference_root(statistics(real))) == pytest.approx(expected, rel=1e-12)
    assert fid(real, reference_root(statistics(generated))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [60, 400])
def test_the_order_of_rows_means_nothing_and_noise_always_adds(n):
    generated, root = inception_like(n, 128, 1), reference_root(statistics(inception_like(2000, 128, 2)))
    rng = np.random.default_rng(0)
    assert fid(generated[rng.permutation(n)], root) == pytest.approx(fid(generated, root), rel=1e-12)
    noise = rng.standard_normal(generated.shape)
    distances = [fid(generated + scale * noise, root) for scale in (0, 0.1, 0.3, 1)]
    assert distances == sorted(distances)
    assert distances[-1] > 2 * distances[0]


def test_statistics_of_a_memory_map_equal_numpys(tmp_path, monkeypatch):
    features = inception_like(1000, 40, 1) + np.float32(100)  # A mean far from zero, where one pass would cancel.
    np.save(tmp_path / "features.npy", features)
    monkeypatch.setattr(module, "CHUNK", 300)
    stats = statistics(np.load(tmp_path / "features.npy", mmap_mode="r"))
    np.testing.assert_allclose(stats.mu, features.mean(0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(stats.sigma, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-12)
    assert (stats.n, stats.mu.dtype, stats.sigma.dtype) == (1000, np.float64, np.float64)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((1, 4)), r"\(1, 4\).*at least 2 rows"),
        (np.ones(4), r"\(4,\).*\(n, d\)"),
        (np.array([[1.0, 2], [3, 4], [np.nan, 1], [np.inf, 0]]), "row 2 "),
        (np.array([[1.0, 2], [3, -np.inf], [0, 0]], np.float32), "row 1 "),
    ],
)
def test_features_that_have_no_covariance_are_refused(features, message):
    with pytest.raises(InputError, match=message):
        statistics(features)
    with pytest.raises(InputError, match=message):
        fid(features, reference_root(Statistics(np.zeros(2), np.eye(2))))


def test_unlike_dimensions_are_refused_by_both_names():
    with pytest.raises(InputError, match=r"3 dimensions.*5"):
        fid(np.eye(4, 3), reference_root(Statistics(np.zeros(5), np.eye(5))))
    with pytest.raises(InputError, match="3 and 5 dimensions"):
        frechet_distance(Statistics(np.zeros(3), np.eye(3)), Statistics(np.zeros(5), np.eye(5)))
    with pytest.raises(InputError, match="eigenvalue -1"):
        reference_root(Statistics(np.zeros(2), np.array([[1.0, 2], [2, 1]])))


def test_pytorch_fid_reads_what_we_write(tmp_path):
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    stats = [statistics(inception_like(400, 32, seed)) for seed in (1, 2)]
    for path, each in zip(paths, stats, strict=True):
        write_statistics(path, each, {"images": "größer"})
    # Its program builds the network, and so downloads, even where it needs none: in a new process with an empty one.
    code = (
        "import emudrift.runtime.torchvision_fix, pytorch_fid.fid_score as program, sys;"
        "program.InceptionV3 = type('Empty', (), dict(BLOCK_INDEX_BY_DIM={2048: 3}, __init__=lambda self, blocks: None,"
        " to=lambda self, device: self)); program.main()"
    )
    result = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    assert float(result.stdout.split("FID:")[1]) == pytest.approx(frechet_distance(*stats), rel=1e-6)


def test_statistics_come_back_equal_and_equal_statistics_give_equal_bytes(tmp_path):
    stats = statistics(inception_like(50, 8, 1))
    write_statistics(tmp_path / "a.npz", stats, {"b": 1, "a": 2})
    write_statistics(tmp_path / "b.npz", stats, {"a": 2, "b": 1})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = load_statistics(tmp_path / "a.npz", d=8)
    np.testing.assert_array_equal(back.mu, stats.mu)
    np.testing.assert_array_equal(back.sigma, stats.sigma)
    assert back.n == 50
    np.savez_compressed(tmp_path / "theirs.npz", mu=stats.mu.astype(np.float32), sigma=stats.sigma)
    assert load_statistics(tmp_path / "theirs.npz").n is None


SIGMA, MU = np.eye(4), np.zeros(4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(5), "sigma": np.eye(5)}, "mu has 5 dimensions, but the extractor has 4"),
        ({"mu": MU}, "no sigma; it has mu"),
        ({}, "no mu and no sigma"),
        ({"mu": MU, "sigma": np.eye(5)}, r"\(4,\) and sigma \(5, 5\)"),
        ({"mu": MU + np.nan, "sigma": SIGMA}, "mu contains NaN"),
        ({"mu": MU, "sigma": SIGMA + np.inf}, "sigma contains NaN or Inf"),
        ({"mu": MU, "sigma": np.triu(SIGMA + 1)}, "sigma is not symmetric"),
        ({"mu": MU, "sigma": -SIGMA}, "negative variance"),
        ({"mu": np.array(["a"] * 4), "sigma": SIGMA}, "mu has values of type <U1; expected real numbers"),
        ({"mu": MU + 1j, "sigma": SIGMA}, "mu has values of type complex128"),
        ({"mu": MU, "sigma": SIGMA * (1 + 1j)}, "sigma has values of type complex128"),
        ({"mu": MU, "sigma": SIGMA, "root": SIGMA * 1j}, "root has values of type complex128"),
        ({"mu": MU > 1, "sigma": SIGMA}, "mu has values of type bool"),
        *(
            ({"mu": MU, "sigma": SIGMA, "n": n}, "n is .*; expected the number of images")
            for n in (np.nan, 2.5, -4, [9, 9])
        ),
        ({"mu": np.array([None] * 4), "sigma": SIGMA}, "not a numeric .npz file"),
    ],
)
def test_wrong_statistics_are_refused_with_file_and_key(tmp_path, arrays, message):
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(InputError, match=rf"wrong\.npz: .*{message}"):
        load_statistics(tmp_path / "wrong.npz", d=4)


@pytest.mark.parametrize("kind", ["text", "half", "empty", "npy", "missing", "folder"])
def test_files_that_are_no_statistics_are_refused(tmp_path, kind):
    path = tmp_path / "stats.npz"
    write_statistics(path, statistics(inception_like(50, 8, 1)), {})
    whole = path.read_bytes()
    if kind in ("missing", "folder"):
        path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.eye(3))
    elif kind != "missing":
        path.write_bytes({"text": b"mu,sigma\n", "half": whole[: len(whole) // 2], "empty": b""}[kind])
    with pytest.raises(InputError, match=r"stats\.npz"):
        load_statistics(path)


def test_the_root_on_disk_is_that_of_the_statistics_and_a_file_without_one_gives_the_same(tmp_path):
    stats = statistics(np.random.default_rng(8).normal(size=(30, 12)))
    write_statistics(tmp_path / "ours.npz", stats, {})
    np.savez(tmp_path / "theirs.npz", mu=stats.mu, sigma=stats.sigma)
    ours, theirs = load_reference_root(tmp_path / "ours.npz", 12), load_reference_root(tmp_path / "theirs.npz", 12)
    np.testing.assert_allclose(ours.root @ ours.root.T, stats.sigma, atol=1e-12)
    np.testing.assert_array_equal(ours.root, theirs.root)
    assert (ours.n, theirs.n, ours.trace) == (30, None, theirs.trace)
    arrays = dict(np.load(tmp_path / "ours.npz")) | {"root": np.zeros((5, 5))}
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(InputError, match=r"wrong\.npz: root has shape \(5, 5\); remove the file"):
        load_reference_root(tmp_path / "wrong.npz", 12)
