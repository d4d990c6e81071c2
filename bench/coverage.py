"""Coverage of nominal 95 % intervals on synthetic features with a known FID.

32 dimensions with a steep spectrum; the reference is known exactly. Two arms share each prompt's difficulty (correlation
0.6) and have the same true FID, in two cases: equally diverse, or the second with half the variance of the first. Features
are Gaussian, or heavy-tailed (a log-normal scale per image). From N/d = 0.5 to 10, over many repetitions:

plain     bias of the plain FID (mean of both arms, in units of FID) and of the plain difference
jackknife bias, coverage and (stated error) / (true error) of the bias-corrected FID and of its paired difference
FID inf   bias and coverage for the linear extrapolation in 1/N through N/2 and N
halves    coverage of the jackknife difference with the half-sampling error instead of its own, as a cross-check

`paired_difference_coverage` is over all cases and tails with N/d of at least 2.5, the range stated as valid in
docs/statistics.md. The last line of output is JSON.
"""

import argparse
import json
import os
import time
from dataclasses import fields
from typing import Any

# Before NumPy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np

from emudrift.evaluation.fid.frechet import frechet_distance, project
from emudrift.evaluation.fid.resampling import HALVINGS, Part, Resampled, resample
from emudrift.evaluation.intervals import (
    Estimate,
    block_edges,
    fid_infinity,
    half_sampling_error,
    jackknife,
    paired_difference,
    t_interval,
)
from emudrift.features.statistics import ReferenceRoot, Statistics, reference_root

DIMS, RATIOS, VALID_FROM = 32, (0.5, 1, 2.5, 5, 10), 2.5
DISTANCE = 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=600, help="repetitions of each case")
    arguments = parser.parse_args()
    started, rows = time.perf_counter(), []
    print(
        "            |  plain bias  |     jackknife, FID    |      its difference      |  FID inf   |  difference|  halves"
    )
    print(
        "case   N/d  |   FID  diff. |   bias  width coverage|   bias  width  coverage |  bias cov. |  bias cov.| width cov.",
        flush=True,
    )
    for tails in ("gaussian", "heavy"):
        for case in ("equal", "less diverse"):
            for ratio in RATIOS:
                rows.append(row := study(tails, case, ratio, arguments.repeats))
                one, two, inf, inf2 = row["fid"], row["difference"], row["fid_infinity"], row["fid_infinity_difference"]
                halves = row["half_sampling_difference"]
                print(
                    f"{tails[:5]} {case[:4]} {ratio:4g}|{row['plain_bias']:7.2f}{row['plain_difference_bias']:7.2f} |"
                    f"{one['bias']:7.2f}{one['width']:7.2f}{one['coverage']:8.3f} |"
                    f"{two['bias']:7.2f}{two['width']:7.2f}{two['coverage']:8.3f}   |"
                    f"{inf['bias']:6.2f}{inf['coverage']:6.3f}|{inf2['bias']:6.2f}{inf2['coverage']:6.3f}|"
                    f"{halves['width']:6.2f}{halves['coverage']:6.3f}",
                    flush=True,
                )
    valid = [row for row in rows if row["n_per_dim"] >= VALID_FROM]

    def pooled(kind: str, chosen: list[dict[str, Any]]) -> float:
        return round(float(np.mean([row[kind]["coverage"] for row in chosen])), 4)

    figures = {
        "paired_difference_coverage": pooled("difference", valid),
        "paired_difference_coverage_equal": pooled("difference", [r for r in valid if r["case"] == "equal"]),
        "paired_difference_coverage_less_diverse": pooled("difference", [r for r in valid if r["case"] != "equal"]),
        "paired_difference_coverage_range": [f([r["difference"]["coverage"] for r in valid]) for f in (min, max)],
        "fid_infinity_difference_coverage": pooled("fid_infinity_difference", valid),
        "half_sampling_difference_coverage": pooled("half_sampling_difference", valid),
        "fid_coverage": pooled("fid", valid),
        "fid_infinity_coverage": pooled("fid_infinity", valid),
        "seconds": round(time.perf_counter() - started),
        "repeats": arguments.repeats,
        "cases": rows,
    }
    print(json.dumps(figures))


def study(tails: str, case: str, ratio: float, repeats: int) -> dict[str, Any]:
    """Bias and coverage in one case."""
    n, rng = int(DIMS * ratio), np.random.default_rng([int(10 * ratio), len(tails), len(case)])
    reference, means, roots = arms(0.5 if case == "less diverse" else 1.0)
    edges = block_edges(n)
    kinds = ("fid", "difference", "fid_infinity", "fid_infinity_difference", "half_sampling_difference")
    found: dict[str, list[Estimate]] = {kind: [] for kind in kinds}
    plain = np.empty((repeats, 2))
    for repeat in range(repeats):
        a, b = (
            resample(Part(project(features, reference), slice(0, n)), edges)
            for features in draw(n, means, roots, tails, rng)
        )
        plain[repeat] = a.full, b.full
        found["fid"] += [jackknife(arm.full, arm.without, edges) for arm in (a, b)]
        found["difference"].append(paired_difference(a.full, a.without, b.full, b.without, edges))
        error = half_sampling_error(a.random_halves, b.random_halves)
        centre = found["difference"][-1].estimate
        found["half_sampling_difference"].append(t_interval(centre, error, HALVINGS, 0.95, ""))
        found["fid_infinity"] += [infinity(arm, edges) for arm in (a, b)]
        found["fid_infinity_difference"].append(infinity(minus(b, a), edges))
    truths = {kind: 0.0 if kind.endswith("difference") else DISTANCE for kind in kinds}
    return {
        "tails": tails,
        "case": case,
        "n_per_dim": ratio,
        "plain_bias": round(float(plain.mean()) - DISTANCE, 3),
        "plain_difference_bias": round(float(np.diff(plain).mean()), 3),
        **{kind: summary(estimates, truths[kind]) for kind, estimates in found.items()},
    }


def summary(estimates: list[Estimate], truth: float) -> dict[str, float]:
    """Bias, coverage, and the root mean square of the stated standard error relative to the true standard deviation."""
    centres = np.array([each.estimate for each in estimates])
    errors = np.array([each.standard_error for each in estimates])
    return {
        "bias": round(float(centres.mean()) - truth, 3),
        "coverage": float(np.mean([each.low <= truth <= each.high for each in estimates])),
        "width": round(float(np.sqrt((errors**2).mean()) / centres.std()), 3),
    }


def infinity(arm: Resampled, edges: np.ndarray) -> Estimate:
    assert arm.halves is not None
    assert arm.halves_without is not None
    return fid_infinity(arm.full, arm.without, arm.halves, arm.halves_without, edges)


def minus(b: Resampled, a: Resampled) -> Resampled:
    return Resampled(*(np.subtract(getattr(b, each.name), getattr(a, each.name)) for each in fields(Resampled)))


def arms(gain: float) -> tuple[ReferenceRoot, list[np.ndarray], list[np.ndarray]]:
    """The reference, and means (d,) and covariance roots (d, d) of two arms at the same distance from it."""
    rng = np.random.default_rng(5)
    axes = np.linalg.qr(rng.standard_normal((DIMS, DIMS)))[0]
    spread = 20.0 / np.arange(1, DIMS + 1)
    reference = Statistics(np.zeros(DIMS), (axes * spread) @ axes.T)
    means, roots = [], []
    for scale in (1.0, gain):
        turned = np.linalg.qr(axes + 0.04 * rng.standard_normal((DIMS, DIMS)))[0]
        sigma = (turned * spread * scale) @ turned.T
        direction = rng.standard_normal(DIMS)
        rest = DISTANCE - frechet_distance(Statistics(np.zeros(DIMS), sigma), reference)
        means.append(direction / np.linalg.norm(direction) * np.sqrt(rest))
        roots.append(np.linalg.cholesky(sigma))
        assert abs(frechet_distance(Statistics(means[-1], sigma), reference) - DISTANCE) < 1e-6
    return reference_root(reference), means, roots


def draw(
    n: int, means: list[np.ndarray], roots: list[np.ndarray], tails: str, rng: np.random.Generator
) -> list[np.ndarray]:
    """Samples features (n, d) of both arms; row i of both belongs to the same prompt."""
    shared, own = rng.standard_normal((2, n, DIMS))
    scores = [shared, 0.6 * shared + 0.8 * own]
    # exp(z/2 - 1/4) has mean square 1, so the covariances do not change.
    scale = np.exp(0.5 * rng.standard_normal((n, 1)) - 0.25) if tails == "heavy" else 1.0
    return [mean + scale * score @ root.T for mean, score, root in zip(means, scores, roots, strict=True)]


if __name__ == "__main__":
    main()
