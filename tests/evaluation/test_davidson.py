"""Davidson's model: against closed forms, an optimizer on the likelihood of the paper, and what makes strengths infinite."""

import numpy as np
import pytest
from scipy.optimize import minimize

from emudrift.evaluation.human.davidson import Comparisons, fit_strengths


def votes(arms: int, counts: dict[tuple[int, int], tuple[int, int, int]]) -> Comparisons:
    """From (wins of the first, ties, wins of the second) of each pair."""
    rows = [
        (a, b, o) for (a, b), each in counts.items() for o, n in zip((1, 0, -1), each, strict=True) for _ in range(n)
    ]
    return Comparisons(arms, *np.array(rows).T)


def optimum(comparisons: Comparisons) -> tuple[np.ndarray, float]:
    """Davidson 1970, equations (2.2): pi_i, pi_j and nu sqrt(pi_i pi_j) over their sum, maximised by BFGS."""
    first, second, outcome = comparisons.first, comparisons.second, comparisons.outcome

    def loss(values):
        pi, nu = np.exp(np.append(values[:-1], -values[:-1].sum())), np.exp(values[-1])
        tie = nu * np.sqrt(pi[first] * pi[second])
        chosen = np.where(outcome == 1, pi[first], np.where(outcome == -1, pi[second], tie))
        return -np.log(chosen / (pi[first] + pi[second] + tie)).sum()

    found = minimize(loss, np.zeros(comparisons.arms), method="BFGS", options={"gtol": 1e-8}).x
    return np.append(found[:-1], -found[:-1].sum()), found[-1]


@pytest.mark.parametrize(("wins", "ties", "losses"), [(30, 20, 10), (3, 0, 1), (7, 90, 8)])
def test_two_arms_have_a_closed_form(wins, ties, losses):
    """Strengths in proportion to wins and losses, nu = ties / sqrt(wins × losses)."""
    fit = fit_strengths(votes(2, {(0, 1): (wins, ties, losses)}))
    assert fit.log_strengths[0] - fit.log_strengths[1] == pytest.approx(np.log(wins / losses), abs=1e-9)
    assert np.exp(fit.log_tie) == pytest.approx(ties / np.sqrt(wins * losses), abs=1e-9)
    assert fit.expected_net_vote(0, 1)[0] == pytest.approx((wins - losses) / (wins + ties + losses))


def test_exact_proportions_give_the_parameters_back():
    """Counts in exactly the proportions 4 : 1 : 2, nu = 1, of three arms."""
    counts = {(0, 1): (400, 200, 100), (0, 2): (400, 283, 200), (1, 2): (100, 141, 200)}
    fit = fit_strengths(votes(3, counts))
    assert np.exp(fit.log_strengths - fit.log_strengths[1]) == pytest.approx([4, 1, 2], rel=2e-3)
    assert np.exp(fit.log_tie) == pytest.approx(1, rel=2e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_that_of_a_general_optimizer_and_reproduces_net_votes(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 5, 150)
    second = (first + rng.integers(1, 3, 150)) % 5  # not every arm meets every other
    outcome = np.sign(np.round(rng.normal(0.3 * (second - first), 1.0))).astype(int)
    comparisons = Comparisons(5, first, second, outcome)
    fit, (strengths, tie) = fit_strengths(comparisons), optimum(comparisons)
    assert fit.log_strengths == pytest.approx(strengths, abs=1e-5)
    assert fit.log_tie == pytest.approx(tie, abs=1e-5)
    # The score equations: expected net votes of each arm, and ties, are those given.
    chances = fit.probabilities()
    expected = chances[:, 0] - chances[:, 2]
    for arm in range(5):
        sign = (first == arm).astype(int) - (second == arm)
        assert sign @ expected == pytest.approx(sign @ outcome, abs=1e-7)
    assert chances[:, 1].sum() == pytest.approx((outcome == 0).sum())


def test_without_ties_it_is_bradley_terry():
    """Zermelo's fixed point: strength = wins / Σ meetings / (sum of both strengths)."""
    wins = np.array([[0, 7, 9], [3, 0, 6], [1, 4, 0]])
    fit = fit_strengths(votes(3, {(a, b): (wins[a, b], 0, wins[b, a]) for a, b in ((0, 1), (0, 2), (1, 2))}))
    pi, meetings = np.ones(3), wins + wins.T
    for _ in range(2000):
        pi = wins.sum(axis=1) / (meetings / (pi[:, None] + pi[None, :])).sum(axis=1)
        pi /= np.prod(pi) ** (1 / 3)
    assert fit.log_strengths == pytest.approx(np.log(pi), abs=1e-8)
    assert fit.log_tie == -np.inf
    assert np.isfinite(fit.influence).all()


def test_the_influence_of_a_vote_is_what_one_more_of_it_adds():
    counts = {(0, 1): (400, 200, 100), (0, 2): (400, 283, 200), (1, 2): (100, 141, 200)}
    before = votes(3, counts)
    fit = fit_strengths(before)
    for place in (0, 450, 1500, 2000):
        more = Comparisons(3, *(np.append(each, each[place]) for each in (before.first, before.second, before.outcome)))
        moved = fit_strengths(more).log_strengths - fit.log_strengths
        assert moved == pytest.approx(fit.influence[place, :-1], rel=0.02, abs=1e-6)
    assert fit.influence.sum(axis=0) == pytest.approx(0, abs=1e-9)


def test_arms_that_never_met_and_arms_that_never_lost_are_refused():
    apart = votes(4, {(0, 1): (3, 1, 2), (2, 3): (1, 1, 1)})
    assert apart.groups().tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="never compared with the others"):
        fit_strengths(apart)
    unbeaten = votes(3, {(0, 1): (5, 2, 0), (0, 2): (5, 1, 0), (1, 2): (2, 1, 2)})
    assert unbeaten.separated()
    with pytest.raises(ValueError, match="never lost to the others"):
        fit_strengths(unbeaten)
    assert not votes(3, {(0, 1): (5, 2, 0), (0, 2): (0, 1, 5), (1, 2): (2, 1, 0)}).separated(), "a circle"
