"""The ranking of three or more arms by raters on the page and the terminal."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from emudrift.config.arm import Arm
from emudrift.evaluation.findings import BETTER, WORSE
from emudrift.evaluation.human.columns import HumanTables
from emudrift.evaluation.human.ranking import MISFIT
from emudrift.evaluation.human.win_rates import ONE_RATER
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.blocks import Cell, Table
from emudrift.report.elements.wording import listing, number

QUESTIONS = {"appeal": "Visual appeal", "faithfulness": "Text faithfulness"}


def known_rankings(tables: HumanTables, arms: Sequence[Arm]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rankings all of whose arms are part of the experiment: an arm that is gone was part of all strengths."""
    names = {arm.name for arm in arms}
    whole = (
        tables.ranking.groupby(["question", "group"])["arm"].transform(lambda found: set(found) <= names).astype(bool)
    )
    ranking = tables.ranking[whole]
    kept = set(zip(ranking["question"], ranking["group"], strict=True))
    of_pairs = zip(tables.pairs["question"], tables.pairs["group"], strict=True)
    return ranking, tables.pairs[[each in kept for each in of_pairs]]


def ranking_statements(ranking: pd.DataFrame, pairs: pd.DataFrame) -> list[tuple[str, str]]:
    """A sentence for each ranking, and its CSS class."""
    return [_statement(rows, pairs) for rows in _rankings(ranking)]


def ranking_tables_of(ranking: pd.DataFrame, pairs: pd.DataFrame) -> list[Table]:
    """The tables of the page: arms, and pairs of arms; none without a ranking."""
    labels = {row.arm: label(row) for row in rows_of(ranking)}
    return [_arms(ranking), _pairs(pairs, labels)] if labels else []


def ranking_caveats(ranking: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """How rankings were computed, and what they leave open."""
    if ranking.empty:
        return []
    said = [
        "Ranking: the Bradley-Terry model with ties (Davidson, 1970), fitted to all votes of a question at once. Strengths are "
        "log odds of being preferred to the average arm, among votes for one of the two. Intervals are over prompts and "
        f"raters; those of pairs of arms, with their p values, findings and ranks, hold together for the {len(pairs)} pairs in "
        "that table (Bonferroni). The model takes for granted that one number per arm explains all pairs, and is tested on each "
        "pair that was shown.",
        *_misfit(ranking, pairs),
    ]
    groups = ranking.groupby("question")["group"].nunique().max()
    if groups > 1:
        said.append(
            f"There are {groups} groups of arms that were never compared with each other, not even through others: each has a "
            "ranking of its own, and strengths of different groups have no common zero."
        )
    for rows in _rankings(ranking):
        if rows[0].separated == "yes":
            said.append(
                f"{title(rows)}: some arms never lost to the others. Votes then say that they are stronger, and not by how much: "
                "their strengths are kept finite by one vote that is added for each arm of each pair."
            )
    return said


def _misfit(ranking: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """Pairs of arms whose votes are not those of the model."""
    labels = {row.arm: label(row) for row in rows_of(ranking)}
    off = [
        f"{labels[row.arm]} against {labels[row.baseline_arm]} ({QUESTIONS[row.question].lower()}: {_points(row.net_vote)} "
        f"given, {_points(row.net_vote_fitted)} by the model)"
        for row in rows_of(pairs)
        if row.finding == MISFIT
    ]
    if not off:
        return []
    return [
        f"The ranking's model does not fit the net votes of {listing(off)}: the ranking makes no finding there; the net votes of "
        "the pair do."
    ]


def _rankings(ranking: pd.DataFrame) -> list[list[Any]]:
    """The rows of each question and group, the strongest first."""
    return [
        rows_of(found.sort_values("rank", kind="stable"))
        for _, found in ranking.groupby(["question", "group"], sort=False)
    ]


def _statement(rows: Sequence[Any], pairs: pd.DataFrame) -> tuple[str, str]:
    ours = pairs[(pairs["question"] == rows[0].question) & (pairs["group"] == rows[0].group)]
    scale = _scale(rows)
    names = [row.model if scale else label(row) for row in rows]
    if (ours["finding"] == ONE_RATER).any():
        order = listing(names)
        return f"{title(rows)}: from strongest to weakest {order}; no finding: there is one rater.", ONE_RATER.split()[
            0
        ]
    said = listing([f"{name} ({_rank(row)})" for name, row in zip(names, rows, strict=True)])
    clear = int(ours["finding"].isin([BETTER, WORSE]).sum())
    found = f"{clear} of {len(ours)} pairs of arms differ" if clear else "No pair of arms was found to differ"
    misfits = int((ours["finding"] == MISFIT).sum())
    off = (
        f"; on {misfits} of {len(ours)} there is no finding, since the ranking's model does not fit" if misfits else ""
    )
    return f"{title(rows)}: {said}. {found} beyond chance{off}.", "ranked"


def title(rows: Sequence[Any]) -> str:
    """Of one ranking."""
    scale = _scale(rows)
    return f"{QUESTIONS[rows[0].question]}{f', {scale}' if scale else ''}, {len(rows)} arms ranked"


def _scale(rows: Sequence[Any]) -> str:
    """The guidance scale that all arms of a ranking have, in words; empty where they differ or have none."""
    scales = {row.guidance_scale for row in rows}
    (first, *others) = scales
    return "" if others or math.isnan(first) else f"guidance\N{NO-BREAK SPACE}{first:g}"


def label(row: Any) -> str:
    return (
        row.model
        if math.isnan(row.guidance_scale)
        else f"{row.model}, guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
    )


def _rank(row: Any) -> str:
    if row.rank_low == row.rank_high:
        return f"rank {row.rank_low}"
    return f"rank {row.rank_low} {'or' if row.rank_high == row.rank_low + 1 else 'to'} {row.rank_high}"


def _arms(ranking: pd.DataFrame) -> Table:
    return Table(
        "Ranking of arms",
        ["question", "arm", "rank", "strength (log odds against the average arm)", "votes"],
        [
            [
                Cell(QUESTIONS[row.question]),
                Cell(label(row)),
                Cell(str(row.rank), _rank(row) if row.rank_low < row.rank_high else "", value=row.rank),
                Cell(
                    number(row.strength, 2, signed=True),
                    "" if math.isnan(row.strength_low) else
                    f"[{number(row.strength_low, 2, signed=True)} to {number(row.strength_high, 2, signed=True)}]",
                ),
                Cell(f"{row.votes:,}", f"{row.raters} raters, {row.prompts:,} prompts"),
            ]
            for rows in _rankings(ranking)
            for row in rows
        ],
    )  # fmt: skip


def _pairs(pairs: pd.DataFrame, labels: dict[str, str]) -> Table:
    return Table(
        "All pairs of arms",
        [
            "question",
            "arms",
            "net vote by the ranking",
            "net vote given",
            "share of the first among votes for one of the two",
        ],
        [
            [
                Cell(QUESTIONS[row.question]),
                Cell(f"{labels[row.arm]} against {labels[row.baseline_arm]}"),
                _fitted(row),
                Cell("–", "never shown together")
                if math.isnan(row.net_vote)
                else Cell(_points(row.net_vote), f"{row.direct_votes:,} votes"),
                Cell(f"{100 * row.share:.0f} %"),
            ]
            for row in rows_of(pairs)
        ],
    )


def _fitted(row: Any) -> Cell:
    net = f"{_points(row.net_vote_fitted)}"
    if row.finding == ONE_RATER:
        return Cell(net, "one rater: no interval")
    low, high = (number(100 * each, 0, signed=True) for each in (row.low_simultaneous, row.high_simultaneous))
    return Cell(net, f"[{low} to {high}]; {row.finding}; {p_text(row.p_adjusted)}", row.finding.split()[0])


def _points(net: float) -> str:
    return f"{number(100 * net, 0, signed=True)} points"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
