"""The human evaluation in the methods paragraph: what was asked of whom, how votes were analysed, and what came out."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from emudrift.config.arm import Arm
from emudrift.config.human_evaluation import HumanEvaluation
from emudrift.evaluation.human.columns import HumanTables
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.wording import listing, number
from emudrift.report.sections.human_ranking import known_rankings, ranking_statements
from emudrift.report.sections.human_votes import known_rates, title, verdict

_ASKED = {
    "appeal": "visual appeal, with the caption hidden (A, B or no preference)",
    "faithfulness": "text faithfulness, with the caption shown (A, B, both or neither; the latter two count as ties)",
}


def human_methods(settings: HumanEvaluation, tables: HumanTables, arms: Sequence[Arm]) -> str:
    """A paragraph; empty where no votes are on arms of the experiment. What only the experimenters know is in square brackets."""
    rates = known_rates(tables.rates, arms)
    if rates.empty:
        return ""
    first, rows = rates.iloc[0], rows_of(rates)
    asked = [
        f"{_count(row.raters, 'rater')} judged {_ASKED[row.question]}"
        for row in rows_of(rates.drop_duplicates("question"))
    ]
    parts = [
        f"In the human evaluation, {listing(asked)}, on pairs of images of the same prompt side by side, for the first "
        f"{first['prompts_asked']:,} prompts{_of_set(first['prompt_set'])}, after the protocol of Emu (Dai et al., 2023)."
        f"{_split(first['split'])} Sides and order were randomised for each rater, and raters did not know which model had made "
        "which image.",
        _recruited(settings),
        _checks(tables.raters),
        "A vote counts 1 for the model's image, −1 for the other's and 0 for a tie.",
    ]
    if rates["p"].notna().any():
        parts.append(
            f"The {100 * first['confidence']:.0f} % intervals of the mean net vote are over prompts and raters (Clark, 1973), "
            "from a two-way variance (Cameron et al., 2011, where votes are missing) with Satterthwaite's degrees of freedom "
            f"(Satterthwaite, 1946), simultaneous for the {_count(int(rates['p'].notna().sum()), 'comparison')} (Bonferroni)."
        )
    parts += map(_result, rows)
    parts += _ranked(*known_rankings(tables, arms))
    return " ".join(filter(None, parts))


def _of_set(name: str) -> str:
    return f" of the set {name}" if name else ""


def _split(split: int) -> str:
    if split == 1:
        return ""
    return (
        f" The pairs were divided among {split} raters at a time, each with an equal share of every prompt and every pair "
        "of arms."
    )


def _ranked(ranking: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    if ranking.empty:
        return []
    said = "Three or more arms were ranked by the Bradley-Terry model with ties (Davidson, 1970)"
    if pairs["p"].notna().any():
        said += (
            f", with intervals over prompts and raters, simultaneous for the {len(pairs)} pairs of arms (Bonferroni)"
        )
    return [f"{said}.", *(text for text, _ in ranking_statements(ranking, pairs))]


def _count(number_of: int, what: str) -> str:
    return f"{number_of:,} {what}{'' if number_of == 1 else 's'}"


def _recruited(settings: HumanEvaluation) -> str:
    told = settings.recruitment
    return (
        f"Raters were recruited {told.source or '[from where]'} and paid {told.pay or '[how much, per hour]'}; consent: "
        f"{told.consent or '[how it was given]'}; ethics approval: {told.approval or '[by whom, or why none was needed]'}."
    )


def _checks(raters: pd.DataFrame) -> str:
    counts = raters["passed"].value_counts()
    failed, unchecked = int(counts.get("no", 0)), int(counts.get("not checked", 0))
    excluded = int((raters["used"] == "no").sum())
    said = f"{failed} of {_count(len(raters), 'rater')} failed the attention checks"
    if failed:
        said += f" ({excluded} excluded)" if excluded else " (none excluded)"
    return f"{said}; {unchecked} had none." if unchecked else f"{said}."


def _result(row: Any) -> str:
    alpha = "" if pd.isna(row.alpha) else f" (Krippendorff's alpha {number(row.alpha, 2)}; Krippendorff, 2011)"
    return f"{title(row)}: {verdict(row)}{alpha}."
