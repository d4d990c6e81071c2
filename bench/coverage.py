"""Coverage and false findings of nominal 95 % intervals on synthetic features with a known FID.

Gaussian and heavy-tailed features in 32 dimensions with a steep spectrum, and rectified sparse features as Inception's (three
quarters zeros, a log-normal scale per image) in 64 and 256. Two arms share each prompt's difficulty (correlation 0.6): equal;
or the second less diverse; or, for rectified features, with lighter tails. The reference is known exactly (`full`), or a
sample of M images. Everything goes through `compute_fid`, as in the workflow.

false_finding_rate_finite_reference   share of findings where there is no difference, M/d = 2.4 and 19.8, N/d = 5 and 10; largest
lowest_coverage_above_limit           of a paired difference, over all cases with N/d at or above MIN_N_PER_DIMENSION
simultaneous_coverage                 all of m = 2, 6, 12 comparisons with one baseline are covered; smallest
clustered_false_finding_rate          five prompts per group, intra-class correlation .5 and a model-by-group interaction

Without arguments under 10 minutes on two cores; `--full` gives the tables of docs/statistics.md, `--large` two cases in 2,048
dimensions. The last line of output is JSON.
"""

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

# Before NumPy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np

from emudrift.evaluation.blocks import prompt_blocks, reference_blocks
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.frechet import frechet_distance
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.evaluation.intervals import (
    MIN_N_PER_DIMENSION,
    Estimate,
    jackknife,
    of_pseudo_values,
    simultaneous,
)
from emudrift.features.statistics import Statistics, reference_root

DISTANCE = 12.0
"""True FID of the Gaussian and heavy-tailed arms."""


@dataclass(frozen=True)
class Case:
    """`tails`: gaussian, heavy, rectified. `arm`: the second arm. `reference`: M/d, 0 for known exactly. `n`: N/d."""

    tails: str
    arm: str
    dims: int
    reference: float
    n: float
    repeats: int
    arms: int = 2
    group: int = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--full", action="store_true", help="more repetitions and cases: the tables of the documentation"
    )
    parser.add_argument(
        "--repeats", type=int, help="repetitions of each case in 32 dimensions; a third in 64, a tenth in 256"
    )
    parser.add_argument(
        "--large",
        type=int,
        metavar="REPEATS",
        help="only rectified features in 2,048 dimensions, two minutes a repetition",
    )
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.large:
        with ProcessPoolExecutor(arguments.workers) as pool:
            for row in pool.map(study, large(arguments.large)):
                print(json.dumps(row), flush=True)
        return
    repeats = arguments.repeats or (1000 if arguments.full else 300)
    started = time.perf_counter()
    with ProcessPoolExecutor(arguments.workers) as pool:
        rows = []
        for row in pool.map(study, cases(repeats, arguments.full)):
            rows.append(row)
            print(json.dumps({key: value for key, value in row.items() if key != "kind"}), flush=True)
    pairs = [row for row in rows if row["kind"] == "pair"]
    above = [row for row in pairs if row["n_per_dim"] >= MIN_N_PER_DIMENSION]
    finite = [
        row for row in pairs if row["tails"] == "gaussian" and row["reference_per_dim"] > 0 and row["n_per_dim"] >= 5
    ]
    figures = {
        "false_finding_rate_finite_reference": max(row["findings"] for row in finite),
        "lowest_coverage_above_limit": min(row["coverage"] for row in above),
        "paired_difference_coverage": round(float(np.mean([row["coverage"] for row in above])), 4),
        "paired_difference_coverage_classical_jackknife_lowest": min(row["coverage_classical"] for row in above),
        "simultaneous_coverage": min(row["coverage"] for row in rows if row["kind"] == "several"),
        "clustered_false_finding_rate": next(row["findings"] for row in rows if row["kind"] == "groups"),
        "scattered_false_finding_rate": next(row["findings_scattered"] for row in rows if row["kind"] == "groups"),
        "limit": MIN_N_PER_DIMENSION,
        "seconds": round(time.perf_counter() - started),
        "repeats": repeats,
    }
    print(json.dumps(figures))


def cases(repeats: int, full: bool) -> list[Case]:
    """The slow ones first, so that all workers end together."""
    found = []
    for dims, share, ratios in ((256, 10, (2.5, 5) if full else (2.5,)), (64, 3, (2.5, 5))):
        for arm in ("equal", "less diverse", "lighter tails"):
            found += [Case("rectified", arm, dims, 19.8, n, max(repeats // share, 1)) for n in ratios]
    found += [Case("gaussian", "equal", 16, 20, 5, repeats, arms=1 + m) for m in (12, 6, 2)]
    found.append(Case("gaussian", "groups", 32, 20, 10, repeats, group=5))
    for tails in ("gaussian", "heavy") if full else ("gaussian",):
        for arm in ("equal", "less diverse"):
            found += [Case(tails, arm, 32, m, n, repeats) for m in (2.44, 19.8) for n in (5, 10)]
    for tails in ("gaussian", "heavy"):
        for arm in ("equal", "less diverse"):
            found += [Case(tails, arm, 32, m, 2.5, repeats) for m in ((0, 2.44, 19.8) if full else (19.8,))]
    return found


def large(repeats: int) -> list[Case]:
    """Equal arms in Inception's dimensions at the limit, against 5,000 and 10,000 real images."""
    return [Case("rectified", "equal", 2048, m, MIN_N_PER_DIMENSION, repeats) for m in (2.44, 4.88)]


def study(case: Case) -> dict[str, Any]:
    """One case: how often intervals of the difference cover the truth, and how often a difference is found."""
    seed = [int(10 * case.n), int(10 * case.reference), case.dims, case.arms, len(case.tails), len(case.arm)]
    rng, n, features = np.random.default_rng(seed), int(case.dims * case.n), KINDS[case.tails](case)
    found: dict[str, list[Any]] = {"own": [], "classical": [], "scattered": [], "together": []}
    for _ in range(case.repeats):
        arms = features.draw(n, rng)
        real = features.real(round(case.dims * case.reference), rng) if case.reference else None
        groups = np.arange(n) // case.group
        order = rng.permutation(n)
        pairs, classical = differences([arm[order] for arm in arms], real, features.known, groups[order].tolist())
        found["own"].append(pairs[0])
        found["classical"].append(classical)
        found["together"].append([wide for wide, _ in simultaneous(pairs)])
        if case.group > 1:
            found["scattered"].append(differences([arm[order] for arm in arms], real, features.known, None)[0][0])
    row = {"kind": "pair", "tails": case.tails, "arm": case.arm, "dims": case.dims}
    row |= {"reference_per_dim": case.reference, "n_per_dim": case.n, "repeats": case.repeats}
    truth = features.truth
    if case.arms > 2:
        covered = [all(each.low <= truth <= each.high for each in together) for together in found["together"]]
        return row | {"kind": "several", "comparisons": case.arms - 1, "coverage": float(np.mean(covered))}
    row |= summary(found["own"], truth) | {"coverage_classical": summary(found["classical"], truth)["coverage"]}
    if case.group > 1:
        row |= {"kind": "groups", "findings_scattered": summary(found["scattered"], truth)["findings"]}
    return row


def differences(
    arms: list[np.ndarray], real: np.ndarray | None, known: Statistics, groups: list[int] | None
) -> tuple[list[Estimate], Estimate]:
    """Every other arm less the first; and the first of them by the classical jackknife, of order 1 / n."""
    blocks = prompt_blocks(len(arms[0]), groups)
    reference = reference_root(known) if real is None else Sample(real, reference_blocks(len(real), blocks))
    fids = [compute_fid(arm, reference, blocks) for arm in arms]
    pairs = [of_pseudo_values(np.subtract(b.pseudo_values, fids[0].pseudo_values), blocks.edges) for b in fids[1:]]
    full, without = fids[1].fid - fids[0].fid, np.subtract(fids[1].leave_one_out, fids[0].leave_one_out)
    return pairs, jackknife(full, without, blocks.edges)


def summary(estimates: list[Estimate], truth: float) -> dict[str, float]:
    """Bias, coverage, findings (0 is excluded), and the stated standard error relative to the true standard deviation."""
    centres = np.array([each.estimate for each in estimates])
    errors = np.array([each.standard_error for each in estimates])
    return {
        "truth": round(truth, 4),
        "bias": round(float(centres.mean()) - truth, 4),
        "coverage": round(float(np.mean([each.low <= truth <= each.high for each in estimates])), 4),
        "findings": round(float(np.mean([each.low > 0 or each.high < 0 for each in estimates])), 4),
        "width": round(float(np.sqrt((errors**2).mean()) / max(centres.std(), 1e-9)), 3),
    }


class Elliptical:
    """Gaussian or heavy-tailed features; all arms at the same distance from the reference."""

    truth = 0.0

    def __init__(self, case: Case) -> None:
        rng, self.case = np.random.default_rng(5), case
        d = case.dims
        axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
        spread = 20.0 / np.arange(1, d + 1)
        self.known = Statistics(np.zeros(d), (axes * spread) @ axes.T)
        self.root = np.linalg.cholesky(self.known.sigma)
        self.means, self.roots = [], []
        for number in range(case.arms):
            scale = 0.5 if case.arm == "less diverse" and number else 1.0
            turned = np.linalg.qr(axes + 0.04 * rng.standard_normal((d, d)))[0]
            sigma = (turned * spread * scale) @ turned.T
            direction = rng.standard_normal(d)
            rest = DISTANCE - frechet_distance(Statistics(np.zeros(d), sigma), self.known)
            self.means.append(direction / np.linalg.norm(direction) * np.sqrt(rest))
            self.roots.append(np.linalg.cholesky(sigma))
            assert abs(frechet_distance(Statistics(self.means[-1], sigma), self.known) - DISTANCE) < 1e-6

    def scale(self, n: int, rng: np.random.Generator) -> Any:
        # exp(z/2 - 1/4) has mean square 1, so the covariances do not change.
        return np.exp(0.5 * rng.standard_normal((n, 1)) - 0.25) if self.case.tails == "heavy" else 1.0

    def real(self, m: int, rng: np.random.Generator) -> np.ndarray:
        return self.scale(m, rng) * rng.standard_normal((m, self.case.dims)) @ self.root.T

    def draw(self, n: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Features (n, d) of all arms; row i of each belongs to the same prompt."""
        shared, scale = rng.standard_normal((n, self.case.dims)), self.scale(n, rng)
        scores = [0.6 * shared + 0.8 * self.own(n, rng) for _ in self.means]
        return [mean + scale * score @ root.T for mean, score, root in zip(self.means, scores, self.roots, strict=True)]

    def own(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """What an arm does not share: of single images; or half of its variance of groups, which is the interaction."""
        d, size = self.case.dims, self.case.group
        if size == 1:
            return rng.standard_normal((n, d))
        of_groups = np.repeat(rng.standard_normal((-(-n // size), d)), size, axis=0)[:n]
        return np.sqrt(0.5) * of_groups + np.sqrt(0.5) * rng.standard_normal((n, d))


class Rectified:
    """Three quarters zeros, λ_k ~ 1 / k before that, and a log-normal scale per image."""

    TAIL, POPULATION = 0.5, 200_000

    def __init__(self, case: Case) -> None:
        rng, d = np.random.default_rng(0), case.dims
        self.axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
        self.spread = np.sqrt(5.0 / np.arange(1, d + 1))
        self.threshold = 0.55 * np.linalg.norm(self.axes * self.spread, axis=1)
        turned = np.linalg.qr(self.axes + 0.15 / np.sqrt(d) * rng.standard_normal((d, d)))[0]
        self.turned = turned * np.sign((turned * self.axes).sum(axis=0))
        # Gain and tail of each arm.
        other = {"equal": (0.95, 0.5), "less diverse": (0.75, 0.5), "lighter tails": (0.95, 0.3)}
        self.arms = [(0.95, 0.5), other[case.arm]]
        self.truth = 0.0
        if case.arm != "equal":
            real, a, b = self.population()
            self.known = real
            self.truth = frechet_distance(b, real) - frechet_distance(a, real)
        else:
            self.known = Statistics(np.zeros(d), np.eye(d))

    def features(self, scores: np.ndarray, scale: np.ndarray, axes: np.ndarray) -> np.ndarray:
        return np.maximum((scores * self.spread * scale) @ axes.T - self.threshold, 0)

    def real(self, m: int, rng: np.random.Generator) -> np.ndarray:
        scores, scale = rng.standard_normal((m, len(self.axes))), np.exp(self.TAIL * rng.standard_normal((m, 1)))
        return self.features(scores, scale, self.axes)

    def draw(self, n: int, rng: np.random.Generator) -> list[np.ndarray]:
        shared, own = rng.standard_normal((2, n, len(self.axes)))
        z, scores = rng.standard_normal((n, 1)), (shared, 0.6 * shared + 0.8 * own)
        return [
            self.features(score, gain * np.exp(tail * z + self.TAIL**2 - tail**2), self.turned)
            for score, (gain, tail) in zip(scores, self.arms, strict=True)
        ]

    def population(self) -> list[Statistics]:
        """Of the reference and both arms, from so many images that their bias is below a hundredth of any interval."""
        rng, chunk = np.random.default_rng(77), 5000
        total: list[list[Any]] = [[0.0, 0.0] for _ in range(3)]
        for _ in range(self.POPULATION // chunk):
            for sums, x in zip(total, [self.real(chunk, rng), *self.draw(chunk, rng)], strict=True):
                sums[0], sums[1] = sums[0] + x.sum(axis=0), sums[1] + x.T @ x
        means = [first / self.POPULATION for first, _ in total]
        return [
            Statistics(mean, second / self.POPULATION - np.outer(mean, mean))
            for mean, (_, second) in zip(means, total, strict=True)
        ]


KINDS: dict[str, Any] = {"gaussian": Elliptical, "heavy": Elliptical, "rectified": Rectified}

if __name__ == "__main__":
    main()
