"""Human evaluation on the page and the terminal: win rates, inter-rater agreement, and raters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.config.arm import Arm
from emudrift.evaluation.human.columns import HumanTables
from emudrift.evaluation.human.two_way import Spread
from emudrift.evaluation.human.votes import CHECKS_SHARE
from emudrift.evaluation.human.win_rates import ONE_RATER
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.blocks import Cell, Table
from emudrift.report.elements.wording import listing, number
from emudrift.report.sections.human_ranking import (
    QUESTIONS,
    known_rankings,
    p_text,
    ranking_caveats,
    ranking_statements,
    ranking_tables_of,
)


@dataclass(frozen=True)
class HumanStatement:
    """One comparison in words, and its CSS class."""

    text: str
    style: str


@dataclass(frozen=True)
class HumanSection:
    """The page's section on human evaluation."""

    statements: list[HumanStatement]
    tables: list[Table]
    caveats: list[str]


def human_section(tables: HumanTables, arms: Sequence[Arm]) -> HumanSection:
    """Builds the section from the tables of the human evaluation.

    Votes on arms that are no longer part of the experiment are excluded, and a caveat names those arms.
    """
    rates, raters = tables.rates, tables.raters
    strangers = sorted({*rates["arm"], *rates["baseline_arm"]} - {arm.name for arm in arms})
    known = known_rates(rates, arms)
    ranked = known_rankings(tables, arms)
    rows, caveats = rows_of(known), [] if known.empty else _caveats(known, raters) + ranking_caveats(*ranked)
    if strangers:
        caveats.insert(0, f"Excluded: votes on arms that are no longer in the config ({', '.join(strangers)}).")
    statements = [HumanStatement(*each) for each in ranking_statements(*ranked)]
    statements += [HumanStatement(_statement(row), row.finding.split()[0]) for row in rows]
    shown = [*ranking_tables_of(*ranked), _rates(rows), _raters(raters)] if rows else []
    return HumanSection(statements, shown, caveats)


def known_rates(rates: pd.DataFrame, arms: Sequence[Arm]) -> pd.DataFrame:
    """The rows on arms that are part of the experiment."""
    names = {arm.name for arm in arms}
    return rates[rates["arm"].isin(names) & rates["baseline_arm"].isin(names)]


def human_statements(tables: HumanTables) -> list[str]:
    """The statements and caveats as plain text."""
    ranked = (tables.ranking, tables.pairs)
    return [
        *(text for text, _ in ranking_statements(*ranked)),
        *map(_statement, rows_of(tables.rates)),
        *_caveats(tables.rates, tables.raters),
        *ranking_caveats(*ranked),
    ]


def _statement(row: Any) -> str:
    """How often each model was preferred, and the finding."""
    scale = "" if math.isnan(row.guidance_scale) else f", guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
    losses, wins = (" ".join(_share(row, name)) for name in ("loss", "win"))
    return (
        f"{QUESTIONS[row.question]}{scale}: raters preferred {row.baseline} in {losses} and {row.model} in {wins} of "
        f"{row.prompts:,} prompts; the rest are ties. {verdict(row)}."
    )


def verdict(row: Any) -> str:
    """The mean net vote and what it shows."""
    if row.finding == ONE_RATER:
        return (
            f"The net vote for {row.model} is {_points(row.net_vote)} points; no finding: there is one rater, and what others "
            "would prefer is not known"
        )
    interval = _interval(row.low_simultaneous, row.high_simultaneous)
    return (
        f"Net vote for {row.model}: {_points(row.net_vote)} points {interval}; {row.finding}; {p_text(row.p_adjusted)}"
    )


def _rates(rows: list[Any]) -> Table:
    return Table(
        "Net votes and majorities",
        [
            "question",
            "prompts",
            "net vote",
            "spread of raters",
            "left image",
            "win",
            "tie",
            "loss",
            "agreement (alpha)",
        ],
        [
            [
                Cell(title(row)),
                Cell(f"{row.prompts:,}", f"{row.votes:,} of {row.votes_asked:,} votes by {row.raters} raters"),
                _net(row),
                Cell("–" if math.isnan(row.rater_sd) else f"{100 * row.rater_sd:.0f} points"),
                _left(row.left),
                _rate(row, "win"),
                _rate(row, "tie", _ties(row)),
                _rate(row, "loss"),
                _alpha(row),
            ]
            for row in rows
        ],
    )


def _raters(raters: pd.DataFrame) -> Table:
    return Table(
        "Raters and attention checks",
        [
            "rater",
            "votes",
            "identical pairs",
            "gold pairs",
            "repeated pairs, sides swapped",
            "no preference",
            "left image",
            "net vote",
            "median time",
            "attention checks",
        ],
        [
            [
                Cell(str(row.rater)),
                Cell(f"{row.votes:,} of {row.asked:,}"),
                Cell(f"{row.identical_right} of {row.identical} correct"),
                Cell(f"{row.gold_right} of {row.gold} correct"),
                Cell(f"{row.swapped_same} of {row.swapped} consistent", f"opposite: {row.swapped_opposite}"),
                Cell("–" if math.isnan(row.no_preference) else f"{100 * row.no_preference:.0f} %"),
                _left(row.left),
                Cell("–" if math.isnan(row.net_vote) else f"{_points(row.net_vote)} points"),
                Cell("–" if math.isnan(row.seconds) else f"{row.seconds:.1f} s"),
                Cell(
                    {"yes": "passed", "no": "failed"}.get(row.passed, row.passed),
                    "" if row.used == "yes" else "votes excluded",
                ),
            ]
            for row in rows_of(raters)
        ],
    )


def _caveats(rates: pd.DataFrame, raters: pd.DataFrame) -> list[str]:
    """How the numbers were computed, and which votes are missing."""
    first = rates.iloc[0]
    tested = int(rates["p"].notna().sum())
    said = [
        "Net vote: the mean over all votes of 1 for the model's image, −1 for the other's and 0 for a tie, in points of 100. "
        f"Its {100 * first['confidence']:.0f} % intervals are over prompts and raters: what other prompts and other raters would "
        f"have given (two-way variance, Satterthwaite degrees of freedom). Intervals, p values and findings hold together for "
        f"the {tested} comparisons in this table (Bonferroni); human_evaluation.csv has the plain ones, too.",
        "A prompt counts as a win if more than half of its raters chose the model's image, as a loss if more than half "
        "chose the other's, and as a tie otherwise, including when no answer has a majority. These shares describe "
        "these raters: their intervals (Wilson; bootstrap for alpha) are over prompts only.",
        "Spread of raters: the standard deviation of raters' own net votes, beyond what single votes scatter. Left image: its "
        "share of the votes for one of the two; about 50 % unless raters prefer a side.",
        "Krippendorff's alpha: 1 is perfect agreement, 0 is chance level. It is computed from individual votes, not majorities.",
        *_planned(rates),
    ]
    if first["prompt_set"]:
        said.insert(
            0, f"Raters judged prompts of one set only, {first['prompt_set']}: nothing here is about the others."
        )
    sent, asked = len(raters), int(rates["raters_asked"].max())
    votes, wanted = int(raters["votes"].sum()), int(raters["asked"].sum())
    if sent < asked:
        said.append(f"{sent} of {asked} raters submitted votes.")
    if votes < wanted:
        said.append(
            f"{votes:,} of the {wanted:,} votes assigned to these raters were submitted: some prompts were judged by fewer "
            "raters than others."
        )
    if int(rates["prompts"].min()) < int(first["prompts_asked"]):
        said.append(f"Some of the {first['prompts_asked']} prompts received no votes, or too few.")
    if rates["prompts_dropped"].any():
        said.append(
            f"Prompts left out because they have fewer votes than min_votes: up to {rates['prompts_dropped'].max():,} in a row."
        )
    failing = [str(rater) for rater in raters.loc[raters["passed"] == "no", "rater"]]
    if failing:
        fate = "excluded" if first["raters_excluded"] else "included nevertheless (exclude_failed: false)"
        who = "Rater" if len(failing) == 1 else "Raters"
        said.append(
            f"{who} {listing(failing)} failed the attention checks (fewer than {100 * CHECKS_SHARE:.0f} % correct of the "
            "identical pairs, or of the gold pairs, a photograph beside its heavy degradation or beside that of another prompt); "
            f"these votes are {fate}."
        )
    unchecked = [str(rater) for rater in raters.loc[raters["passed"] == "not checked", "rater"]]
    if unchecked:
        said.append(f"Not checked, for want of attention checks with an answer: rater {listing(unchecked)}.")
    if not raters["gold"].any():
        said.append("There are no gold pairs: raters who never have a preference are not recognised.")
    return said


def title(row: Any) -> str:
    scale = "" if math.isnan(row.guidance_scale) else f", guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
    return f"{QUESTIONS[row.question]}: {row.model} against {row.baseline}{scale}"


def _ties(row: Any) -> str:
    """The number of ties of each kind."""
    kinds = {"both": row.both, "neither": row.neither} if row.question == "faithfulness" else {}
    return "".join(f"; {kind}: {number:,}" for kind, number in (kinds | {"no majority": row.no_majority}).items())


def _rate(row: Any, name: str, more: str = "") -> Cell:
    share, interval = _share(row, name)
    return Cell(share, interval + more)


def _share(row: Any, name: str) -> tuple[str, str]:
    """A share of prompts and its interval."""
    value, low, high = (100 * getattr(row, column) for column in (name, f"{name}_low", f"{name}_high"))
    return f"{value:.0f} %", f"[{low:.0f} to {high:.0f}]"


def _net(row: Any) -> Cell:
    """The mean net vote; and its interval, finding and p value as smaller text."""
    net = f"{_points(row.net_vote)} points"
    if row.finding == ONE_RATER:
        return Cell(net, "one rater: no interval")
    interval = _interval(row.low_simultaneous, row.high_simultaneous)
    return Cell(net, f"{interval}; {row.finding}; {p_text(row.p_adjusted)}", row.finding.split()[0])


def _planned(rates: pd.DataFrame) -> list[str]:
    """What more raters or more prompts would do, for the comparison with the widest interval."""
    if rates["standard_error"].isna().all():
        return []
    row = rows_of(rates.loc[[rates["standard_error"].idxmax()]])[0]
    spread = Spread(row.prompt_sd, row.rater_sd, row.vote_sd)
    sizes = [(row.prompts, row.raters), (row.prompts, 2 * row.raters), (2 * row.prompts, row.raters)]
    found = [
        f"{number(100 * spread.detectable(*size, split=row.split), 0)} points by {size[1]} raters on {size[0]:,} prompts"
        for size in sizes
    ]
    return [
        f"Planning: where raters and prompts differ as in “{title(row)}”, a true net vote is found four times in five if it "
        f"is at least {listing(found)} (one comparison)."
    ]


def _left(share: float) -> Cell:
    return Cell("–" if math.isnan(share) else f"{100 * share:.0f} %")


def _points(share: float) -> str:
    return number(100 * share, 0, signed=True)


def _interval(low: float, high: float) -> str:
    return f"[{_points(low)} to {_points(high)}]"


def _alpha(row: Any) -> Cell:
    if math.isnan(row.alpha):
        return Cell("–")
    alpha, low, high = (number(each, 2) for each in (row.alpha, row.alpha_low, row.alpha_high))
    return Cell(alpha, f"[{low} to {high}]")
