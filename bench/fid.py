"""Speed and accuracy of all FIDs of one arm, compared with pytorch-fid.

Synthetic features, 30,000 x 2,048, similar to Inception's: three quarters zeros, heavy tails, a steep spectrum. For each of
8 sizes N, 20 FIDs of the first N images without one block are computed, as needed for an interval. emudrift's time includes
everything from the reference statistics and the features to the last value, for every size and block.
pytorch-fid's time is that of its covariance (numpy.cov, as in its code) and calculate_frechet_distance, measured once at the
smallest, a middle and the largest size, and multiplied by 20. Nearly all of it is spent on the root of a 2,048 x 2,048
matrix, independent of N, and the rest grows linearly in N, so the other sizes are interpolated linearly.

Errors are relative to a float64 computation from singular values of the data, without squaring: ours for one block at every
size, pytorch-fid's where it was measured. Everything uses one thread and is measured in CPU seconds, because wall-clock time
on a shared machine depends on other jobs. `speedup_where_valid` is that of the sizes from 2,500 on: smaller ones are faster by
far, but nothing is claimed there. `one_fid_cpu_seconds` is one `compute_fid` of N = 5,000 against 40,504 real images, which
are left out in blocks as well: with all that an interval needs, without random halves. The last line of output is JSON.
"""

import json
import os
import sys
import time
import warnings
from itertools import pairwise

# Before NumPy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np

from emudrift.evaluation.blocks import block_edges, prompt_blocks, reference_blocks
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.frechet import project
from emudrift.evaluation.fid.resampling import Part
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.features.statistics import Statistics, reference_root, statistics

try:
    import emudrift.runtime.torchvision_fix  # noqa: F401  (before pytorch-fid)

    import scipy
    from pytorch_fid.fid_score import calculate_frechet_distance
    from scipy import linalg

    if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 18):
        raise ImportError(f"found scipy {scipy.__version__}")
except ImportError as error:
    sys.exit(f"error: this bench needs pytorch-fid and scipy<1.18 ({error}): pip install -e '.[dev]'")

IMAGES, DIMS, REAL = 30_000, 2048, 10_000
SIZES = (100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)
REPEATS = 20
MEASURED = (100, 2500, 30_000)
"""Sizes at which pytorch-fid is measured, about 15 s each."""


def main() -> None:
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((DIMS, DIMS)))[0].astype(np.float32)
    generated, real = features_like(IMAGES, 1, 0.9, basis), features_like(REAL, 2, 1.0, basis)
    print(f"{(generated == 0).mean():.0%} of {generated.shape} features are zero", flush=True)
    reference = statistics(real)

    ours, seconds, spent = {}, {}, time.process_time()
    started = spent
    projection = project(generated, reference_root(reference))
    for n in SIZES:
        part = Part(projection, slice(0, n))
        ours[n] = np.array([part.fid(slice(int(a), int(b))) for a, b in pairwise(block_edges(n, REPEATS))])
        seconds[n], spent = time.process_time() - spent, time.process_time()
        print(f"emudrift, N = {n:,}: {REPEATS} FIDs in {seconds[n]:.2f} s", flush=True)
    total = time.process_time() - started

    theirs, errors, their_errors = {}, [], []
    real_triangle = triangle(real)
    for n in SIZES:
        part = generated[block_edges(n, REPEATS)[1] : n]
        exact = by_singular_values(part, real, real_triangle)
        errors.append(abs(ours[n][0] / exact - 1))
        print(f"N = {n:,}: FID {exact:.6f}, relative error {errors[-1]:.1e}", flush=True)
        if n in MEASURED:
            start = time.process_time()
            value = published(part, reference)
            theirs[n] = time.process_time() - start
            their_errors.append(abs(value / exact - 1))
            print(f"pytorch-fid: {theirs[n]:.1f} s for one, relative error {their_errors[-1]:.1e}", flush=True)
    each = dict(zip(SIZES, np.interp(SIZES, MEASURED, [theirs[n] for n in MEASURED]), strict=True))
    needed, valid = REPEATS * float(sum(each.values())), [n for n in SIZES if n >= 2500]
    figures = {
        "speedup": round(needed / total, 1),
        "speedup_where_valid": round(REPEATS * sum(each[n] for n in valid) / sum(seconds[n] for n in valid), 1),
        "max_relative_error": float(f"{max(errors):.2g}"),
        "cpu_seconds": round(total, 1),
        "pytorch_fid_cpu_seconds_extrapolated": round(needed),
        "speedup_by_n": {n: round(REPEATS * theirs[n] / seconds[n], 1) for n in MEASURED},
        "pytorch_fid_max_relative_error": float(f"{max(their_errors):.2g}"),
    }
    print(json.dumps(figures | one_fid(generated[:5000], basis)))


def one_fid(features: np.ndarray, basis: np.ndarray) -> dict[str, float]:
    """CPU seconds of a whole FID against a reference that is a sample, its real images prepared included."""
    real, blocks, started = features_like(40_504, 3, 1.0, basis), prompt_blocks(len(features)), time.process_time()
    sample = Sample(real, reference_blocks(len(real), blocks))
    assert sample.scatters.shape == (len(blocks), DIMS, DIMS)
    prepared = time.process_time()
    compute_fid(features, sample, blocks)
    return {
        "reference_cpu_seconds": round(prepared - started, 1),
        "one_fid_cpu_seconds": round(time.process_time() - started, 1),
    }


def features_like(n: int, seed: int, gain: float, basis: np.ndarray) -> np.ndarray:
    """Features (n, d), float32: rectified (three quarters zeros), λ_k ~ 1 / k before that, log-normal scale per image."""
    rng, d = np.random.default_rng(seed), len(basis)
    spread = np.sqrt(5.0 / np.arange(1, d + 1, dtype=np.float32))
    scale = gain * np.exp(0.5 * rng.standard_normal((n, 1), np.float32))
    features = (rng.standard_normal((n, d), np.float32) * spread * scale.astype(np.float32)) @ basis.T
    threshold = 0.55 * np.linalg.norm(basis * spread, axis=1)
    return np.maximum(features - threshold.astype(np.float32), 0)


def published(features: np.ndarray, reference: Statistics) -> float:
    """FID as computed by pytorch-fid from features, in float64, since it can fail in float32."""
    x = features.astype(np.float64)
    mu, sigma = np.mean(x, axis=0), np.cov(x, rowvar=False)
    return float(calculate_frechet_distance(mu, sigma, reference.mu, reference.sigma))


def triangle(features: np.ndarray) -> np.ndarray:
    """(min(n, d), d): the centred features / √(n − 1) up to a rotation of the rows, which leaves singular values unchanged."""
    x = features.astype(np.float64)
    x -= x.mean(axis=0)
    x /= np.sqrt(len(x) - 1)
    return linalg.qr(x, mode="r", overwrite_a=True, check_finite=False)[0][: x.shape[1]] if len(x) > x.shape[1] else x


def by_singular_values(features: np.ndarray, real: np.ndarray, real_triangle: np.ndarray) -> float:
    """The FID with tr (Σ_g Σ_r)^½ as the sum of singular values of A Bᵀ, A and B the centred features."""
    a = triangle(features)
    difference = features.mean(axis=0, dtype=np.float64) - real.mean(axis=0, dtype=np.float64)
    roots = linalg.svdvals(a @ real_triangle.T, check_finite=False).sum()
    return float(difference @ difference + (a**2).sum() + (real_triangle**2).sum() - 2 * roots)


if __name__ == "__main__":
    main()
