"""Human evaluation on the page and the terminal: win rates, inter-rater agreement, and raters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.config.arm import Arm
from emudrift.evaluation.human.votes import IDENTICAL_SHARE
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.blocks import Cell, Table
from emudrift.report.elements.wording import listing, number

QUESTIONS = {"appeal": "Visual appeal", "faithfulness": "Text faithfulness"}


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


def human_section(rates: pd.DataFrame, raters: pd.DataFrame, arms: Sequence[Arm]) -> HumanSection:
    """Builds the section from human_evaluation.csv and raters.csv.

    Votes on arms that are no longer part of the experiment are excluded, and a caveat names those arms.
    """
    names = {arm.name for arm in arms}
    strangers = sorted({*rates["arm"], *rates["baseline_arm"]} - names)
    known = rates[rates["arm"].isin(names) & rates["baseline_arm"].isin(names)]
    rows, caveats = rows_of(known), [] if known.empty else _caveats(known, raters)
    if strangers:
        caveats.insert(0, f"Excluded: votes on arms that are no longer in the config ({', '.join(strangers)}).")
    statements = [HumanStatement(_statement(row), row.finding.split()[0]) for row in rows]
    return HumanSection(statements, [_rates(rows), _raters(raters)] if rows else [], caveats)


def human_statements(rates: pd.DataFrame, raters: pd.DataFrame) -> list[str]:
    """The statements and caveats as plain text."""
    return [*map(_statement, rows_of(rates)), *_caveats(rates, raters)]


def _statement(row: Any) -> str:
    """How often each model was preferred, and the finding."""
    scale = "" if math.isnan(row.guidance_scale) else f", guidance\N{NO-BREAK SPACE}{row.guidance_scale:g}"
    losses, wins = (" ".join(_share(row, name)) for name in ("loss", "win"))
    net, found = _net(row)
    return (
        f"{QUESTIONS[row.question]}{scale}: raters preferred {row.baseline} in {losses} and {row.model} in {wins} of "
        f"{row.prompts:,} prompts; the rest are ties. {row.model} − {row.baseline}: {net} {found}."
    )


def _rates(rows: list[Any]) -> Table:
    return Table(
        "Win rates against the baseline, by majority vote",
        ["question", "prompts", "win", "tie", "loss", "win − loss", "agreement (alpha)"],
        [
            [
                Cell(_title(row)),
                Cell(f"{row.prompts:,}", f"{row.votes:,} of {row.votes_asked:,} votes by {row.raters} raters"),
                _rate(row, "win"),
                _rate(row, "tie", _ties(row)),
                _rate(row, "loss"),
                Cell(*_net(row), row.finding.split()[0]),
                _alpha(row),
            ]
            for row in rows
        ],
    )


def _raters(raters: pd.DataFrame) -> Table:
    return Table(
        "Raters and attention checks",
        ["rater", "votes", "identical pairs", "repeated pairs, sides swapped", "no preference", "attention checks"],
        [
            [
                Cell(str(row.rater)),
                Cell(f"{row.votes:,} of {row.asked:,}"),
                Cell(f"{row.identical_right} of {row.identical} correct"),
                Cell(f"{row.swapped_same} of {row.swapped} consistent", f"opposite: {row.swapped_opposite}"),
                Cell("–" if math.isnan(row.no_preference) else f"{100 * row.no_preference:.0f} %"),
                Cell("passed" if row.passed == "yes" else "failed", "" if row.used == "yes" else "votes excluded"),
            ]
            for row in rows_of(raters)
        ],
    )


def _caveats(rates: pd.DataFrame, raters: pd.DataFrame) -> list[str]:
    """How the numbers were computed, and which votes are missing."""
    first = rates.iloc[0]
    said = [
        "A prompt counts as a win if more than half of its raters chose the model's image, as a loss if more than half "
        "chose the baseline's, and as a tie otherwise, including when no answer has a majority.",
        f"Intervals ({100 * first['confidence']:.0f} %) are over prompts, for these raters: Wilson for rates, Bonett–Price for "
        "win − loss, bootstrap for alpha. p: two-sided sign test of wins against losses, Holm-adjusted for the "
        f"{len(rates)} comparisons in this table.",
        "Krippendorff's alpha: 1 is perfect agreement, 0 is chance level. It is computed from individual votes, not majorities.",
    ]
    sent, asked = len(raters), int(first["raters_asked"])
    votes, wanted = int(raters["votes"].sum()), int(raters["asked"].sum())
    if sent < asked:
        said.append(f"{sent} of {asked} raters submitted votes.")
    if votes < wanted:
        said.append(
            f"{votes:,} of the {wanted:,} votes assigned to these raters were submitted: some prompts were judged by fewer "
            "raters than others."
        )
    if int(rates["prompts"].min()) < int(first["prompts_asked"]):
        said.append(f"Some of the {first['prompts_asked']} prompts received no votes.")
    failing = [str(rater) for rater in raters.loc[raters["passed"] == "no", "rater"]]
    if failing:
        fate = "excluded" if first["raters_excluded"] else "included nevertheless (exclude_failed: false)"
        who = "Rater" if len(failing) == 1 else "Raters"
        said.append(
            f"{who} {listing(failing)} failed the attention checks (rated fewer than {100 * IDENTICAL_SHARE:.0f} % of the "
            f"identical pairs as equal); these votes are {fate}."
        )
    return said


def _title(row: Any) -> str:
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


def _net(row: Any) -> tuple[str, str]:
    """Wins minus losses; and its interval, finding and p value as smaller text."""
    value, low, high = (number(100 * each, 0, signed=True) for each in (row.net, row.net_low, row.net_high))
    return f"{value} points", f"[{low} to {high}]; {row.finding}; {_p(row.p_holm)}"


def _alpha(row: Any) -> Cell:
    if math.isnan(row.alpha):
        return Cell("–")
    alpha, low, high = (number(each, 2) for each in (row.alpha, row.alpha_low, row.alpha_high))
    return Cell(alpha, f"[{low} to {high}]")


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
