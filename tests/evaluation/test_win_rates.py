"""Rates: majorities counted by hand, intervals against their definitions and by simulation, known preferences found."""

import json

import numpy as np
import pandas as pd
import pytest
from ratings import answer, key_of, votes_file
from scipy.optimize import brentq
from scipy.stats import ttest_1samp

from emudrift.errors import InputError
from emudrift.evaluation.human.votes import load_votes, rater_table, vote_table
from emudrift.evaluation.human.win_rates import ONE_RATER, majority, rate_table


def wilson(k: int, n: int) -> tuple[float, float]:
    """The two shares p at which k of n lies 1.96 standard errors from n p (Wilson 1927)."""
    z, share = 1.959964, k / n
    return tuple(
        brentq(lambda p: (share - p) ** 2 - z**2 * p * (1 - p) / n, *ends)
        for ends in ((1e-9, share), (share, 1 - 1e-9))
    )


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ([3, 2, 0], 1),
        ([2, 3, 0], -1),
        ([2, 2, 1], 0),
        ([2, 1, 1], 0),  # half of four is no majority
        ([2, 1, 0], 1),
        ([0, 0, 5], 0),
        ([1, 0, 0], 1),
        ([1, 1, 0], 0),
        ([2, 1, 1, 1], 0),
        ([0, 3, 1, 1], -1),
    ],
)
def test_a_majority_is_more_than_half(votes, outcome):
    assert majority(np.array([votes])).tolist() == [outcome]


def rates_of(key, answer_of, tmp_path, exclude_failed=False, raters=None, min_votes=1):
    """The table for raters who answer by a function of (rater, item)."""
    paths = []
    for rater in raters or range(1, len(key.raters) + 1):
        given = [answer_of(rater, item) for item in key.raters[rater - 1]]
        paths.append(tmp_path / f"{rater}.json")
        paths[-1].write_text(json.dumps(votes_file(key, rater, given)))
    votes = load_votes(paths, key)
    table = vote_table(votes, key)
    return rate_table(table, rater_table(table, votes, key, exclude_failed), key, min_votes=min_votes)


def test_a_known_preference_comes_out(tmp_path):
    """All prefer the model on 30 of 40 prompts (appeal), and hold both true to the text (faithfulness)."""
    key, rng = key_of(), np.random.default_rng(0)

    def answer_of(rater, item):
        if item.question == "faithfulness":
            return "both"
        return answer(item, key.pairs[item.pair].arm, 0.3, rng)

    table = rates_of(key, answer_of, tmp_path)
    assert table[["question", "guidance_scale", "wins", "ties", "losses"]].to_numpy().tolist() == [
        ["appeal", 1, 30, 0, 10],
        ["appeal", 3, 30, 0, 10],
        ["faithfulness", 1, 0, 40, 0],
        ["faithfulness", 3, 0, 40, 0],
    ]
    first = table.iloc[0]
    assert (first["win"], first["net_vote"], first["rater_sd"], first["alpha"]) == (0.75, 0.5, 0, 1)
    assert (first["win_low"], first["win_high"]) == pytest.approx(wilson(30, 40))
    assert (first["loss_low"], first["loss_high"]) == pytest.approx(wilson(10, 40))
    # All raters agree, so that it is the t test of 42 prompts, one won and one lost among them for certain.
    test = ttest_1samp([1] * 31 + [-1] * 11, 0)
    assert (first["p"], first["degrees"]) == (pytest.approx(test.pvalue), 41)
    assert (first["net_vote_low"], first["net_vote_high"]) == pytest.approx(tuple(test.confidence_interval(0.95)))
    together = tuple(test.confidence_interval(1 - 0.05 / 4))
    assert (first["low_simultaneous"], first["high_simultaneous"]) == pytest.approx(together)
    assert table["p"].tolist()[2:] == [1, 1]
    assert table["p_adjusted"].tolist() == pytest.approx([4 * test.pvalue] * 2 + [1, 1])
    assert 0.35 < first["left"] < 0.65
    assert table["finding"].tolist() == ["better", "better", "inconclusive", "inconclusive"]
    assert table.loc[2:, "alpha"].isna().all(), "all said the same everywhere"
    assert table[["both", "neither", "no_majority"]].to_numpy().tolist() == [[0, 0, 0]] * 2 + [[40, 0, 0]] * 2


def test_raters_who_differ_are_no_finding_however_many_prompts(tmp_path):
    """Three always prefer the model, two never: all prompts are won by majority, and other raters might say otherwise."""
    key = key_of({"pairs": [{"model": "finetuned", "guidance_scale": 3}]})

    def answer_of(rater, item):
        return answer(item, key.pairs[0].arm, 1 if rater <= 3 else 0, None)

    table = rates_of(key, answer_of, tmp_path)
    assert set(table["win"]) == {1}
    assert set(table["finding"]) == {"inconclusive"}
    assert table["net_vote"].tolist() == pytest.approx([0.2, 0.2])
    assert table["rater_sd"].tolist() == pytest.approx([np.std([1, 1, 1, -1, -1], ddof=1)] * 2)
    assert (table["net_vote_low"] < -0.99).all()


def test_one_rater_is_no_finding(tmp_path):
    key = key_of()
    rows = rates_of(key, lambda _, item: answer(item, key.pairs[item.pair].arm, 1, None), tmp_path, raters=[2])
    assert set(rows["finding"]) == {ONE_RATER}
    assert rows[["net_vote_low", "p", "p_adjusted", "low_simultaneous", "rater_sd"]].isna().all(axis=None)
    assert set(rows["net_vote"]) == {1}


def test_a_tie_of_votes_is_a_tie_and_counted_as_without_majority(tmp_path):
    """Two for each side, and one who sees no difference."""
    key = key_of({"prompts": 10})

    def answer_of(rater, item):
        if rater == 5 or item.kind == "identical":
            return "tie" if item.question == "appeal" else "neither"
        wanted = key.pairs[item.pair].arm if rater <= 2 else key.pairs[item.pair].baseline_arm
        return "left" if item.left == wanted else "right"

    table = rates_of(key, answer_of, tmp_path)
    assert set(table["ties"]) == set(table["no_majority"]) == {10}
    assert set(table["finding"]) == {"inconclusive"}
    assert table["alpha"].max() < 0


def test_ties_of_text_faithfulness_are_told_apart(tmp_path):
    """Of five: on prompt 0 four say both, on 1 three say neither, on 2 two both and two neither; else all prefer the model."""
    key = key_of({"prompts": 10, "pairs": [{"model": "finetuned", "guidance_scale": 3}]})
    ties = {
        "000": ["both"] * 4 + [None],
        "001": ["neither"] * 3 + ["both"] * 2,
        "002": ["both", "neither"] * 2 + [None],
    }

    def answer_of(rater, item):
        said = ties.get(item.prompt_id, [None] * 5)[rater - 1] if item.question == "faithfulness" else "tie"
        return said or ("left" if item.left == key.pairs[0].arm else "right")

    row = rates_of(key, answer_of, tmp_path).set_index("question").loc["faithfulness"]
    assert row[["wins", "ties", "losses", "both", "neither", "no_majority"]].tolist() == [7, 3, 0, 1, 1, 1]


def test_raters_who_fail_are_left_out_only_where_the_config_says_so(tmp_path):
    """Two look and prefer the model; three press A."""
    key, rng = key_of({"prompts": 20}), np.random.default_rng(0)

    def answer_of(rater, item):
        return answer(item, key.pairs[item.pair].arm, 1, rng) if rater in (1, 3) else "left"

    with_all = rates_of(key, answer_of, tmp_path)
    without = rates_of(key, answer_of, tmp_path, exclude_failed=True)
    assert set(with_all["raters"]) == {5}
    assert set(without["raters"]) == {2}
    assert set(without["wins"]) == {20}
    assert with_all["wins"].min() < 20
    assert (with_all["raters_failed"].iloc[0], with_all["raters_excluded"].iloc[0]) == (3, 0)
    assert (without["raters_failed"].iloc[0], without["raters_excluded"].iloc[0]) == (3, 3)


def test_no_vote_left_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no votes remain"):
        rates_of(key_of(), lambda rater, item: "left", tmp_path, exclude_failed=True)
    with pytest.raises(InputError, match="no votes remain"):
        rates_of(key_of(), lambda rater, item: None, tmp_path)


def test_prompts_with_few_votes_are_left_out_and_counted(tmp_path):
    """Prompt 000 has votes of three raters only, in the first question."""
    key = key_of({"prompts": 10, "raters": {"appeal": 5, "faithfulness": 3}})

    def answer_of(rater, item):
        if item.question == "appeal" and item.prompt_id == "000" and rater > 3:
            return None
        return answer(item, key.pairs[item.pair].arm, 1, None)

    for least, prompts, dropped in ((3, [10] * 4, [0] * 4), (4, [9, 9], [1, 1])):
        table = rates_of(key, answer_of, tmp_path, min_votes=least)
        assert (table["prompts"].tolist(), table["prompts_dropped"].tolist()) == (prompts, dropped)
    assert rates_of(key, answer_of, tmp_path)["votes_asked"].tolist() == [50, 50, 30, 30]
    with pytest.raises(InputError, match="no prompt has as many votes as human_evaluation: min_votes: 6"):
        rates_of(key, answer_of, tmp_path, min_votes=6)


def test_a_question_without_votes_has_no_row(tmp_path):
    key = key_of({"prompts": 10})
    table = rates_of(key, lambda rater, item: "left" if item.question == "appeal" else None, tmp_path)
    assert set(table["question"]) == {"appeal"}
    assert isinstance(table, pd.DataFrame)
