"""Coverage of the ranking's intervals (three or more arms, Davidson's model) where raters differ, with the truth known.

The appeal of an arm's image is its mean + a prompt's liking of the arm + a rater's liking of the arm + noise, all normal; an
image is preferred if it appeals more by a threshold. As in `human_coverage.py`, a difference between two arms has a standard
deviation of 1 over prompts, 1 over single votes, and `spread` over raters. Davidson's model does not hold exactly for such
votes: the true strengths are those that it has for all prompts and raters that could have been asked. 60 prompts; complete:
five raters see all pairs; split: 12 raters, of whom three together see all pairs once.

ranking_coverage               share of 95 % intervals of the ranking's net vote of a pair that contain the truth; smallest over
                               cases and pairs of arms
ranking_coverage_log_odds      the same of the difference of two log strengths
ranking_simultaneous_coverage  share of studies whose simultaneous intervals all contain the truth; smallest
ranking_false_findings         share of studies with a finding where all arms are equal; largest
ranking_misfits                share of studies with a pair for which the model is said not to fit, arms equal; largest

    python bench/ranking_coverage.py [--repeats 400]       five minutes on a busy core; the last line is JSON
"""

import argparse
import json
import os
import time
from itertools import combinations
from typing import Any

# Before NumPy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr

from emudrift.evaluation.human.davidson import Comparisons
from emudrift.evaluation.human.ranking import Ballot, rank
from emudrift.evaluation.intervals import simultaneous

PROMPTS, THRESHOLD = 60, 0.4
ARMS = {"equal": (0.0, 0.0, 0.0), "three": (0.0, 0.3, 0.8), "far": (0.0, 0.2, 2.5), "five": (0.0, 0.2, 0.4, 0.6, 0.8)}
DESIGNS = {"complete": (5, 1), "split": (12, 3)}
"""Raters, and how many together see every pair once."""
SPREADS = (0.0, 0.3, 0.6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400, help="simulated studies of each case")
    repeats, started = parser.parse_args().repeats, time.perf_counter()
    rows = []
    for design in DESIGNS:
        for arms in ARMS:
            for spread in SPREADS:
                rows.append(study(design, arms, spread, repeats))
                print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({
        "ranking_coverage": min(row["coverage"] for row in rows),
        "ranking_coverage_log_odds": min(row["coverage_log_odds"] for row in rows),
        "ranking_simultaneous_coverage": min(row["simultaneous"] for row in rows),
        "ranking_false_findings": max(row["findings"] for row in rows if row["arms"] == "equal"),
        "ranking_misfits": max(row["misfits"] for row in rows if row["arms"] == "equal"),
        "repeats": repeats,
        "seconds": round(time.perf_counter() - started),
    }))  # fmt: skip


def study(design: str, arms: str, spread: float, repeats: int) -> dict[str, Any]:
    means = np.array(ARMS[arms])
    truth, tie = true_strengths(means, spread)
    pairs = list(combinations(range(len(means)), 2))
    true = np.array([truth[a] - truth[b] for a, b in pairs])
    true_net = 2 * np.sinh(true / 2) / (2 * np.cosh(true / 2) + np.exp(tie))
    covered, covered_net, centres = np.zeros((3, len(pairs)))
    together, findings, misfits = 0, 0, 0
    for repeat in range(repeats):
        rng = np.random.default_rng([repeat, len(means), int(10 * spread)])
        ranking = rank(draw(design, means, spread, rng))
        found = [ranking.difference(*pair) for pair in pairs]
        covered += [each.low <= value <= each.high for each, value in zip(found, true, strict=True)]
        centres += [each.estimate for each in found]
        net = [ranking.net_vote(*pair) for pair in pairs]
        covered_net += [each.low <= value <= each.high for each, value in zip(net, true_net, strict=True)]
        wide = simultaneous(net)
        together += all(each.low <= value <= each.high for (each, _), value in zip(wide, true_net, strict=True))
        misfits += any(adjusted < 0.05 for _, adjusted in simultaneous([ranking.misfit(*pair) for pair in pairs]))
        findings += any(adjusted < 0.05 for _, adjusted in wide)
    return {
        "design": design,
        "arms": arms,
        "spread": spread,
        "coverage": round(float(covered_net.min()) / repeats, 4),
        "coverage_log_odds": round(float(covered.min()) / repeats, 4),
        "simultaneous": round(together / repeats, 4),
        "findings": round(findings / repeats, 4),
        "misfits": round(misfits / repeats, 4),
        "largest_bias": round(float(np.abs(centres / repeats - true).max()), 4),
    }


def true_strengths(means: np.ndarray, spread: float) -> tuple[np.ndarray, float]:
    """Log strengths, the first 0, and log weight of ties for all votes that could be given; by a general optimizer."""
    sd = np.sqrt(2 + spread**2)
    first, second = np.array(list(combinations(range(len(means)), 2))).T
    difference = means[first] - means[second]
    wins, losses = ndtr((difference - THRESHOLD) / sd), ndtr((-difference - THRESHOLD) / sd)

    def loss(values: np.ndarray) -> float:
        logs = np.concatenate([[0], values[:-1]])
        half = (logs[first] - logs[second]) / 2
        total = np.log(np.exp(half) + np.exp(-half) + np.exp(values[-1]))
        return float(np.sum(total - wins * half + losses * half - (1 - wins - losses) * values[-1]))

    found = minimize(loss, np.zeros(len(means)), method="BFGS", options={"gtol": 1e-9}).x
    return np.concatenate([[0], found[:-1]]), float(found[-1])


def draw(design: str, means: np.ndarray, spread: float, rng: np.random.Generator) -> Ballot:
    """Votes of one study."""
    raters, split = DESIGNS[design]
    pairs = np.array(list(combinations(range(len(means)), 2)))
    likes = means + np.sqrt(0.5) * rng.standard_normal((PROMPTS, 1, len(means)))
    likes = likes + np.sqrt(0.5) * spread * rng.standard_normal((1, raters, len(means)))
    pair, prompt, rater = (each.ravel() for each in np.indices((len(pairs), PROMPTS, raters)))
    seen = (pair + prompt - rater) % split == 0
    pair, prompt, rater = pair[seen], prompt[seen], rater[seen]
    first, second = pairs[pair].T
    difference = likes[prompt, rater, first] - likes[prompt, rater, second] + rng.standard_normal(len(pair))
    outcome = np.sign(difference).astype(int) * (np.abs(difference) > THRESHOLD)
    return Ballot(Comparisons(len(means), first, second, outcome), prompt, rater)


if __name__ == "__main__":
    main()
