"""Coverage of the intervals of shares: how much of a gain or a cost a weaker adapter keeps, with everything known.

Three arms share each prompt's difficulty: the baseline, full strength, and one between them whose share of the cost is known;
FIDs go through `compute_fid` as in the workflow. Answers are right or wrong, and two thirds of what decides is the question. A
share is given only where full strength differs from the baseline for certain; coverage is among those.

    python bench/shares.py [--repeats 400]       two minutes; the last line is JSON
"""

import argparse
import json
import os
import time
from typing import Any

# Before NumPy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from coverage import Case, Elliptical, Rectified

from emudrift.evaluation.blocks import prompt_blocks, reference_blocks
from emudrift.evaluation.exchange.measured import Measured, of_blocks, of_scores, ratio
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.frechet import frechet_distance
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.features.statistics import Statistics

COST = {"gaussian": (0.0, 1.5, 6.0), "small": (0.0, 0.6, 2.4)}
"""What is added to each arm's distance of 12."""


class Shifted(Elliptical):
    """Gaussian features of three arms, at distances that are apart by a shift of the means."""

    def __init__(self, cost: tuple[float, ...]) -> None:
        super().__init__(Case("gaussian", "equal", 32, 20, 0, 0, arms=3))
        for number, more in enumerate(cost):
            squared = float(self.means[number] @ self.means[number])
            self.means[number] = self.means[number] * np.sqrt((squared + more) / squared)
        self.truth = cost[1] / cost[2]


class Narrowed(Rectified):
    """Rectified sparse features of three arms, each less diverse than the one before."""

    def __init__(self, dims: int) -> None:
        super().__init__(Case("rectified", "equal", dims, 20, 0, 0))
        self.gains = (0.95, 0.88, 0.75)
        rng, total = np.random.default_rng(77), [[np.zeros(dims), np.zeros((dims, dims))] for _ in range(4)]
        for _ in range(40):
            for sums, x in zip(total, [self.real(5000, rng), *self.draw(5000, rng)], strict=True):
                sums[0], sums[1] = sums[0] + x.sum(axis=0), sums[1] + x.T @ x
        means = [(first / 200_000, second / 200_000) for first, second in total]
        real, *arms = [Statistics(mean, second - np.outer(mean, mean)) for mean, second in means]
        base, part, full = (frechet_distance(arm, real) for arm in arms)
        self.truth = (part - base) / (full - base)

    def draw(self, n: int, rng: np.random.Generator) -> list[np.ndarray]:
        shared, scale = rng.standard_normal((n, len(self.axes))), np.exp(self.TAIL * rng.standard_normal((n, 1)))
        scores = [0.6 * shared + 0.8 * rng.standard_normal(shared.shape) for _ in self.gains]
        return [self.features(score, gain * scale, self.turned) for score, gain in zip(scores, self.gains, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400, help="of each case; a quarter with rectified features")
    repeats, started = parser.parse_args().repeats, time.perf_counter()
    rows = [
        drawing(f"{kind}, d = {dims}, N/d = {n:g}", features, dims, n, repeats // share)
        for kind, dims, share, features in (
            ("gaussian", 32, 1, Shifted(COST["gaussian"])),
            ("gaussian, small cost", 32, 1, Shifted(COST["small"])),
            ("rectified", 64, 4, Narrowed(64)),
        )
        for n in (2.5, 5, 10)
    ]
    rows += [
        seeing(f"answers, {n} questions, +{100 * gain:g} points", n, gain, 10 * repeats)
        for n in (400, 2000)
        for gain in (0.06, 0.3)
    ]
    for row in rows:
        print(json.dumps(row))
    covered = [row["coverage"] for row in rows if row["given"] > 0.5]
    figures = {"share_coverage": round(float(np.mean(covered)), 4), "share_coverage_lowest": min(covered)}
    print(json.dumps(figures | {"repeats": repeats, "seconds": round(time.perf_counter() - started)}))


def drawing(title: str, features: Any, dims: int, ratio_of_n: float, repeats: int) -> dict[str, Any]:
    rng, n, pairs = np.random.default_rng(int(10 * ratio_of_n) + dims), int(dims * ratio_of_n), []
    for _ in range(repeats):
        blocks, real = prompt_blocks(n), features.real(20 * dims, rng)
        reference = Sample(real, reference_blocks(len(real), blocks))
        found = [compute_fid(arm, reference, blocks) for arm in features.draw(n, rng)]
        base, part, full = (of_blocks(each.pseudo_values, each.block_sizes) for each in found)
        pairs.append((part.minus(base), full.minus(base)))
    return summary(title, pairs, features.truth)


def seeing(title: str, n: int, gain: float, repeats: int) -> dict[str, Any]:
    rng, truth, pairs = np.random.default_rng(n), 0.6, []
    for _ in range(repeats):
        question = rng.standard_normal(n)

        def right(share: float, question: np.ndarray = question) -> Measured:
            latent = np.sqrt(2 / 3) * question + np.sqrt(1 / 3) * rng.standard_normal(n)
            return of_scores((latent < QUANTILES[round(share, 4)]).astype(float))

        base, part, full = (right(0.3 + more) for more in (0, truth * gain, gain))
        pairs.append((part.minus(base), full.minus(base)))
    return summary(title, pairs, truth)


def summary(title: str, pairs: list[tuple[Measured, Measured]], truth: float) -> dict[str, Any]:
    """`given`: how often there is a share at all."""
    found = [share for part, whole in pairs if whole.value > 0 and (share := ratio(part, whole)) is not None]
    covered = [low <= truth <= high for _, low, high in found]
    width = float(np.median([high - low for _, low, high in found])) if found else float("nan")
    return {
        "case": title,
        "truth": round(truth, 3),
        "given": round(len(found) / len(pairs), 3),
        "coverage": round(float(np.mean(covered)), 4),
        "median_width": round(width, 3),
        "repeats": len(pairs),
    }


# Of the normal distribution.
QUANTILES = {0.3: -0.524401, 0.336: -0.423405, 0.36: -0.358459, 0.48: -0.050154, 0.6: 0.253347}

if __name__ == "__main__":
    main()
