"""Coverage of the human evaluation's intervals where raters differ, with the true mean net vote known.

A rater prefers the model where mu + prompt + rater + noise is above a threshold, the baseline where it is below minus the
threshold, and is undecided between; all three are normal, noise and prompts with a standard deviation of 1, raters with
the spread. The true mean net vote, over all prompts and raters that could have been asked, follows. 100 prompts; five
raters each vote on all of them; or, with votes missing: a fifth of the votes at random, or each prompt has five of ten raters.

human_coverage          share of 95 % intervals that contain the truth; smallest over spreads 0, .2, .4 and .6, without and with
                        an effect, all votes given
human_false_findings    share of findings without an effect; largest

    python bench/human_coverage.py [--repeats 4000]       half a minute on one core; the last line is JSON
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
from scipy.special import ndtr

from emudrift.evaluation.human.two_way import two_way_interval
from emudrift.evaluation.human.win_rates import CONFIDENCE

SPREADS = (0.0, 0.2, 0.4, 0.6)
EFFECTS = (0.0, 0.6)
THRESHOLD = 0.4
PROMPTS = 100
DESIGNS = {"complete": 5, "missing": 5, "rotating": 10}
"""Raters in all. missing: a fifth of the votes is missing at random. rotating: each prompt has five of the ten."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4000, help="simulated studies of each case")
    repeats, started = parser.parse_args().repeats, time.perf_counter()
    rows = []
    for design in DESIGNS:
        for effect in EFFECTS:
            for spread in SPREADS:
                rows.append(study(design, effect, spread, repeats))
                print(json.dumps(rows[-1]), flush=True)
    complete = [row for row in rows if row["design"] == "complete"]
    print(json.dumps({
        "human_coverage": min(row["coverage"] for row in complete),
        "human_coverage_votes_missing": min(row["coverage"] for row in rows if row["design"] != "complete"),
        "human_false_findings": max(row["findings"] for row in rows if row["effect"] == 0),
        "human_coverage_prompts_only": min(row["coverage_prompts_only"] for row in complete),
        "repeats": repeats,
        "seconds": round(time.perf_counter() - started),
    }))  # fmt: skip


def study(design: str, effect: float, spread: float, repeats: int) -> dict[str, Any]:
    """Share of studies whose interval contains the truth, and with a finding; the same over prompts only, raters held fixed."""
    covered, findings, over_prompts = 0, 0, 0
    truth = true_mean(effect, spread)
    for repeat in range(repeats):
        rng = np.random.default_rng([repeat, int(10 * effect), int(10 * spread)])
        votes, prompts, raters = draw(design, effect, spread, rng)
        interval = two_way_interval(votes, prompts, raters, CONFIDENCE)
        covered += interval.low <= truth <= interval.high
        findings += interval.p_value < 1 - CONFIDENCE
        means = np.bincount(prompts, weights=votes) / np.bincount(prompts)
        over_prompts += abs(means.mean() - truth) <= 1.984 * means.std(ddof=1) / np.sqrt(len(means))
    return {
        "design": design,
        "effect": effect,
        "spread": spread,
        "true_net_vote": round(truth, 4),
        "coverage": covered / repeats,
        "findings": findings / repeats,
        "coverage_prompts_only": over_prompts / repeats,
    }


def true_mean(effect: float, spread: float) -> float:
    """Of wins (1), ties (0) and losses (−1)."""
    sd = np.sqrt(2 + spread**2)
    return float(ndtr((effect - THRESHOLD) / sd) - ndtr((-effect - THRESHOLD) / sd))


def draw(
    design: str, effect: float, spread: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Votes of one study, with the prompt and the rater of each."""
    count = DESIGNS[design]
    latent = effect + rng.standard_normal((PROMPTS, 1)) + rng.standard_normal((PROMPTS, count))
    latent = latent + spread * rng.standard_normal(count)
    votes = np.sign(latent) * (np.abs(latent) > THRESHOLD)
    given = {
        "complete": np.ones(votes.shape, dtype=bool),
        "missing": rng.random(votes.shape) < 0.8,
        "rotating": (np.arange(count)[None, :] - np.arange(PROMPTS)[:, None]) % count < 5,
    }[design]
    prompts, raters = np.nonzero(given & given.any(axis=1, keepdims=True))
    return votes[prompts, raters], np.unique(prompts, return_inverse=True)[1], raters


if __name__ == "__main__":
    main()
