"""The mean of votes by several raters on several prompts: its variance over both, and what would make it smaller.

A vote of rater r on prompt p is modelled as mean + prompt effect + rater effect + rest. Other prompts and other raters would
have given another mean; votes that share a prompt or a rater are not independent of each other (Clark 1973, "The
language-as-fixed-effect fallacy", Journal of Verbal Learning and Verbal Behavior 12, 335-359).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from emudrift.evaluation.intervals import Estimate, t_interval

Array = np.ndarray
METHOD = "t interval over prompts and raters (two-way variance, Satterthwaite degrees of freedom)"


@dataclass(frozen=True)
class Spread:
    """Standard deviations of prompts, of raters, and of what is left of a single vote, in the units of the votes."""

    prompts: float
    raters: float
    rest: float

    def error(self, prompts: float, raters: float, split: int = 1) -> tuple[float, float]:
        """Standard error of the mean of that many raters' votes on that many prompts, and its degrees of freedom.

        Args:
            split: each rater votes on one of so many equal parts of the prompts.
        """
        of_prompts, of_raters = self.prompts**2 / prompts, self.raters**2 / raters
        rest = self.rest**2 / (prompts * raters / split)
        variance = of_prompts + of_raters + rest
        lost = (of_prompts + rest) ** 2 / (prompts - 1) + (of_raters + rest) ** 2 / (raters - 1)
        lost += rest**2 / ((prompts - 1) * (raters - 1))
        return float(np.sqrt(variance)), float(variance**2 / lost) if lost else prompts - 1

    def detectable(
        self, prompts: int, raters: int, power: float = 0.8, confidence: float = 0.95, split: int = 1
    ) -> float:
        """The true mean that is found to differ from 0 with this probability; two raters or more."""
        error, degrees = self.error(prompts, raters, split)
        return error * float(stdtrit(degrees, (1 + confidence) / 2) + stdtrit(degrees, power))


ASSUMED = Spread(prompts=0.52, raters=0.21, rest=0.68)
"""For planning before there are votes: those of `bench/human_coverage.py` where raters spread by .4 of a vote's noise."""


@dataclass(frozen=True)
class _Variance:
    """Of the mean: what prompts, raters and the rest contribute, each with degrees of freedom."""

    prompts: float
    raters: float
    rest: float
    degrees: tuple[int, int, int]

    @property
    def total(self) -> float:
        """Prompts + raters − rest, which both contain; a component estimated below 0 is 0, so never less than the larger one."""
        return max(self.prompts + self.raters - self.rest, self.prompts, self.raters)

    @property
    def satterthwaite(self) -> int:
        parts = zip((self.prompts, self.raters, self.rest), self.degrees, strict=True)
        # Rounded down: the components are estimated, and with few raters the plain value covers .93 instead of .95.
        return max(int(self.total**2 / sum(part**2 / degrees for part, degrees in parts if part)), 1)


def two_way_interval(values: Array, prompts: Array, raters: Array, confidence: float) -> Estimate:
    """The mean vote with its interval over prompts and raters.

    With all votes given, the variance is (MS_P + MS_R − MS_E) / (P R) of the two-way analysis of variance, and the degrees of
    freedom are Satterthwaite's (Satterthwaite 1946, Biometrics Bulletin 2, 110-114). With votes missing, sums of residuals
    by prompt and by rater take the place of mean squares (Cameron, Gelbach & Miller 2011, Journal of Business & Economic
    Statistics 29, 238-249). Interval and test are of the votes with two more prompts, one won and one lost by all its
    raters, as Bonett & Price 2012 do for a difference of shares: votes that all agree are not certain to.

    Args:
        values: (n,) votes from −1 to 1; at most one for each prompt and rater.
        prompts, raters: (n,) whose they are.
    """
    names, rater = np.unique(raters, return_inverse=True)
    prompt = np.unique(prompts, return_inverse=True)[1]
    if len(names) < 2:
        raise ValueError("one rater: what other raters would say cannot be estimated")
    n, count = len(values), prompt.max() + 1
    busiest = np.argsort(-np.bincount(rater), kind="stable")[: max(round(n / count), 1)]
    values = np.concatenate([values, np.ones(len(busiest)), -np.ones(len(busiest))])
    prompt = np.concatenate([prompt, np.repeat([count, count + 1], len(busiest))])
    rater = np.concatenate([rater, busiest, busiest])
    found = _variance(values, prompt, rater)
    error = float(np.sqrt(found.total))
    return t_interval(float(values.mean()), error, found.satterthwaite, confidence, METHOD)


def sum_interval(estimate: float, parts: Array, prompts: Array, raters: Array, confidence: float) -> Estimate:
    """The interval over prompts and raters of an estimate that votes move by `parts` (n,), to first order; parts sum to 0.

    A rater may vote on a prompt several times, on different pairs of arms; what these votes share is kept together.
    """
    cells, cell = np.unique(np.stack([prompts, raters]), axis=1, return_inverse=True)
    sums = np.bincount(cell.ravel(), weights=parts)
    prompt, rater = (np.unique(each, return_inverse=True)[1] for each in cells)
    found = _variance(len(sums) * sums, prompt, rater)
    return t_interval(estimate, float(np.sqrt(found.total)), found.satterthwaite, confidence, METHOD)


def spread(values: Array, prompts: Array, raters: Array) -> Spread:
    """The standard deviations behind votes (n,), 0 where the estimate of a variance is below 0. NaN for one rater."""
    prompt, rater = (np.unique(each, return_inverse=True)[1] for each in (prompts, raters))
    if rater.max() == 0 or prompt.max() == 0:
        return Spread(float("nan"), float("nan"), float("nan"))
    found = _variance(values, prompt, rater)
    # The share of votes that two votes drawn at random have of one prompt (of one rater): 1 / P (1 / R) if all are given.
    of_prompts, of_raters = (float(np.sum((np.bincount(each) / len(values)) ** 2)) for each in (prompt, rater))
    return Spread(
        float(np.sqrt(max(found.prompts - found.rest, 0) / of_prompts)),
        float(np.sqrt(max(found.raters - found.rest, 0) / of_raters)),
        float(np.sqrt(found.rest * len(values))),
    )


def _variance(values: Array, prompt: Array, rater: Array) -> _Variance:
    """The components for votes (n,) of prompts 0, 1, … and raters 0, 1, …"""
    n, off = len(values), values - values.mean()
    of_prompt, of_rater = np.bincount(prompt, weights=off), np.bincount(rater, weights=off)
    p, r = len(of_prompt), len(of_rater)
    left, degrees = _residual(off, prompt, rater)
    # Without degrees of freedom for it (each prompt has one rater, say), nothing is subtracted: too large rather than too small.
    rest = left / degrees / n if degrees else 0.0
    prompts, raters = (float(np.sum(sums**2)) / n**2 * k / (k - 1) for sums, k in ((of_prompt, p), (of_rater, r)))
    return _Variance(prompts, raters, rest, (p - 1, r - 1, max(degrees, 1)))


def _residual(values: Array, prompt: Array, rater: Array) -> tuple[float, int]:
    """The residual sum of squares of the additive fit by least squares, and its degrees of freedom."""
    votes_of_prompt, votes_of_rater = np.bincount(prompt), np.bincount(rater)
    sums = np.bincount(prompt, weights=values)
    table = np.zeros((len(votes_of_prompt), len(votes_of_rater)))
    np.add.at(table, (prompt, rater), 1)
    # Normal equations for the raters, once the prompts are eliminated; singular in the sum of the raters, at least.
    normal = np.diag(votes_of_rater.astype(float)) - table.T @ (table / votes_of_prompt[:, None])
    right = np.bincount(rater, weights=values) - table.T @ (sums / votes_of_prompt)
    effects, _, rank, _ = np.linalg.lstsq(normal, right, rcond=1e-10)
    prompts = (sums - table @ effects) / votes_of_prompt
    left = values - prompts[prompt] - effects[rater]
    return float(left @ left), len(values) - len(votes_of_prompt) - int(rank)
