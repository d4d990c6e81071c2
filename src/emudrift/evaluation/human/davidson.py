"""Strengths of several arms from paired votes with ties: Davidson's extension of the Bradley-Terry model.

Davidson 1970, "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments", Journal of the
American Statistical Association 65, 317-328. With strengths e^b, arm i is preferred to arm j, j to i, and neither, in proportion
to e^((b_i - b_j) / 2), e^((b_j - b_i) / 2) and e^t. Among votes for one of the two, the odds of i are thus e^(b_i - b_j) : 1,
whatever the share of ties; and the fit reproduces the net votes of every arm. The likelihood is concave.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Array = np.ndarray

TOLERANCE = 1e-10
MOST_STEPS = 200


@dataclass(frozen=True)
class Comparisons:
    """Votes on pairs of `arms` arms 0, 1, …

    Attributes:
        first, second: (n,) the two arms of each vote.
        outcome: (n,) 1 where the first was preferred, -1 where the second was, 0 for ties.
    """

    arms: int
    first: Array
    second: Array
    outcome: Array

    def groups(self) -> Array:
        """(arms,) number of the group of each arm; arms of different groups met neither directly nor through others."""
        return self._components(np.ones(len(self.first), dtype=bool), directed=False)[1]

    def separated(self) -> bool:
        """Whether some arms never lost to the others, so that nothing limits how much stronger they are.

        Strengths are finite where for every division of the arms into two sets someone of the one was preferred to someone of
        the other (Davidson 1970, after Ford 1957, American Mathematical Monthly 64, 28-33).
        """
        return self._components(self.outcome != 0, directed=True)[0] > 1

    def _components(self, chosen: Array, directed: bool) -> tuple[int, Array]:
        winner = np.where(self.outcome >= 0, self.first, self.second)[chosen]
        loser = np.where(self.outcome >= 0, self.second, self.first)[chosen]
        graph = coo_array((np.ones(len(winner)), (winner, loser)), shape=(self.arms, self.arms))
        count, labels = connected_components(graph, directed=directed, connection="strong" if directed else "weak")
        return int(count), np.asarray(labels)


@dataclass(frozen=True)
class Strengths:
    """The fit: log strengths (arms,) with mean 0, and the log weight of ties, −∞ without ties."""

    comparisons: Comparisons
    log_strengths: Array
    log_tie: float

    def probabilities(self) -> Array:
        """(n, 3): of the first, of a tie, of the second, for each vote's pair."""
        return _probabilities(
            self.log_strengths[self.comparisons.first] - self.log_strengths[self.comparisons.second], self.log_tie
        )

    def expected_net_vote(self, first: int, second: int) -> tuple[float, Array]:
        """The mean of 1 (first), 0 (tie) and −1 (second), and its derivatives (arms + 1,)."""
        difference = np.array([self.log_strengths[first] - self.log_strengths[second]])
        wins, ties, losses = _probabilities(difference, self.log_tie)[0]
        net, slopes = float(wins - losses), np.zeros(len(self.log_strengths) + 1)
        slopes[first] = (wins + losses - net**2) / 2
        slopes[second], slopes[-1] = -slopes[first], -net * ties
        return net, slopes

    @cached_property
    def influence(self) -> Array:
        """(n, arms + 1): what each vote adds to each log strength and to the log weight of ties; columns sum to 0.

        To first order: the inverse of the information times the score.
        """
        score = _scores(self.comparisons, self.probabilities())
        return score @ np.linalg.pinv(_information(self.comparisons, self.probabilities()), hermitian=True)


def fit_strengths(comparisons: Comparisons) -> Strengths:
    """The maximum of the likelihood, by Newton's method with halved steps.

    Raises:
        ValueError: strengths are not finite: arms that never met, or that never lost to the others.
    """
    if comparisons.groups().max() > 0:
        raise ValueError("some arms were never compared with the others, not even through others")
    if comparisons.separated():
        raise ValueError("some arms never lost to the others: their strength has no upper limit")
    counted = _counted(comparisons)
    pairs, weights = counted
    ties = bool((comparisons.outcome == 0).any())
    values = np.zeros(comparisons.arms + 1)
    if not ties:
        values[-1] = -np.inf
    best = _likelihood(values, pairs, weights)
    for _ in range(MOST_STEPS):
        chances = _probabilities(values[pairs.first] - values[pairs.second], values[-1])
        gradient = weights @ _scores(pairs, chances)
        step = np.linalg.pinv(_information(pairs, chances, weights), hermitian=True) @ gradient
        if np.abs(step).max() < TOLERANCE:
            break
        scale = 1.0
        while scale > TOLERANCE:
            moved = values + scale * step
            found = _likelihood(moved, pairs, weights)
            if found >= best:
                break
            scale /= 2
        else:
            break
        values, best = moved, found
    strengths = values[:-1] - values[:-1].mean()
    return Strengths(comparisons, strengths, float(values[-1]))


def _counted(comparisons: Comparisons) -> tuple[Comparisons, Array]:
    """Votes of equal arms and outcome once, with how often they occur."""
    rows = np.stack([comparisons.first, comparisons.second, comparisons.outcome], axis=1).astype(int)
    rows, weights = np.unique(rows, axis=0, return_counts=True)
    return Comparisons(comparisons.arms, *rows.T), weights


def _probabilities(difference: Array, log_tie: float) -> Array:
    logits = np.stack([difference / 2, np.full(len(difference), log_tie), -difference / 2], axis=1)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _likelihood(values: Array, pairs: Comparisons, weights: Array) -> float:
    chances = _probabilities(values[pairs.first] - values[pairs.second], values[-1])
    return float(weights @ np.log(chances[np.arange(len(weights)), 1 - pairs.outcome]))


def _directions(comparisons: Comparisons) -> Array:
    """(n, arms + 1): 1 for the first arm, −1 for the second."""
    signs = np.zeros((len(comparisons.first), comparisons.arms + 1))
    rows = np.arange(len(signs))
    signs[rows, comparisons.first] += 1
    signs[rows, comparisons.second] -= 1
    return signs


def _scores(comparisons: Comparisons, chances: Array) -> Array:
    """(n, arms + 1): derivatives of each vote's log likelihood with respect to log strengths and log tie."""
    net = chances[:, 0] - chances[:, 2]
    scores = _directions(comparisons) * ((comparisons.outcome - net) / 2)[:, None]
    scores[:, -1] = (comparisons.outcome == 0) - chances[:, 1]
    return scores


def _information(comparisons: Comparisons, chances: Array, weights: Array | None = None) -> Array:
    """(arms + 1, arms + 1): minus the second derivatives; singular in the sum of log strengths, and in the tie without ties."""
    weights = np.ones(len(chances)) if weights is None else weights
    signs = _directions(comparisons)
    wins, ties, losses = chances.T
    net = wins - losses
    information = signs.T @ (signs * (weights * (wins + losses - net**2) / 4)[:, None])
    information[-1] = information[:, -1] = signs.T @ (-weights * net * ties / 2)
    information[-1, -1] = weights @ (ties * (1 - ties))
    return information
