"""The exchange rate in words, by fixed rules: what was gained, what it cost, and how much of it can be kept at which strength."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.evaluation.tables import rows_of
from emudrift.report.answer.scope import guidance
from emudrift.report.elements.seeing import drawing_unit, seeing_unit, share_text
from emudrift.report.elements.wording import listing

_FRACTIONS = {0.25: "a quarter of its strength", 0.5: "half strength", 0.75: "three quarters of its strength"}


@dataclass(frozen=True)
class ExchangeAnswer:
    """Sentences on the exchange rate.

    Attributes:
        headline: what was gained and what it cost at full strength, one sentence per model.
        statements: what is kept at each other strength, where nothing more is gained, and what is recommended.
        caveats: what a reader must know of the numbers.
    """

    headline: str
    statements: list[str]
    caveats: list[str]

    def text(self) -> str:
        """As plain text, for a terminal."""
        return "\n".join([self.headline, *(f"  {said}" for said in self.statements)])


def exchange_answer(table: pd.DataFrame) -> ExchangeAnswer:
    """What exchange.csv says. Every claim goes by an interval that is quoted."""
    rows = rows_of(table)
    models = list(dict.fromkeys(row.model for row in rows if row.since))
    headlines, statements = [], []
    against_baseline = [row for row in rows if row.since]
    differences = len(against_baseline) + len(_by_strength(against_baseline))
    for model in models:
        ours = [row for row in rows if row.model == model]
        headlines.append(_bought([row for row in ours if row.full_strength], differences))
        statements += [*_kept(ours), *_idle(ours)]
    statements += [*_fronts(rows), *_recommended(rows)]
    return ExchangeAnswer(" ".join(headlines), statements, _caveats(rows))


# -- full strength ------------------------------------------------------------------------------------------------


def _bought(full: list[Any], differences: int) -> str:
    """Gain and cost at full strength.

    Args:
        full: one row per guidance scale.
        differences: from the baseline, of all points on both axes.
    """
    row = full[0]
    seen = f"{_seeing(row).name} {_difference(row, 'seeing_difference')}"
    name = _named(row)
    if row.seeing_difference_low_simultaneous > 0:
        text = f"{name} sees better than {row.baseline}: {seen}"
    elif row.seeing_difference_high_simultaneous < 0:
        text = f"{name} sees worse than {row.baseline}, so nothing was gained: {seen}"
    else:
        text = f"{name} gained nothing that these {row.seeing_n:,} questions can see: {seen}"
    costs = {
        "draws worse": [each for each in full if _cost_is_certain(each)],
        "draws better": [each for each in full if each.reliable and _loss(each)[2] < 0],
        "has too few images for a finding in drawing": [each for each in full if not each.reliable],
    }
    costs["draws neither better nor worse for certain"] = [
        each for each in full if not any(each is other for known in costs.values() for other in known)
    ]
    parts = [f"it {said}: {_places(rows, 'drawing_difference', full)}" for said, rows in costs.items() if rows]
    held = f"{100 * row.confidence:.3g}{_SPACE}% intervals that hold together for {differences} differences"
    return f"{text}; {'; '.join(parts)} ({held})."


def _places(rows: list[Any], column: str, all_rows: list[Any]) -> str:
    """`FID +3.1 [2 to 4] at guidance 1 and +4.0 [3 to 5] at guidance 3`."""
    said = [f"{_difference(row, column)}{_at(row, all_rows)}" for row in rows]
    return f"{_drawing(rows[0]).name} {listing(said)}"


# -- shares -------------------------------------------------------------------------------------------------------


def _kept(rows: list[Any]) -> list[str]:
    """For each weaker strength: the shares of gain and of drawing that it keeps."""
    said = []
    for ours in _by_strength(row for row in rows if not row.full_strength):
        row = ours[0]
        full = next(each for each in rows if each.full_strength and _same_scale(each, row))
        gain = (
            f"{share_text(row.gain_kept, row.gain_kept_low, row.gain_kept_high)} of what it gained"
            if not math.isnan(row.gain_kept)
            else ""
        )
        priced = [each for each in ours if not math.isnan(each.cost_paid)]
        shares = [
            share_text(each.cost_paid, each.cost_paid_low, each.cost_paid_high, rest=True) + _at(each, ours)
            for each in priced
        ]
        cost = f"of the drawing that {full.label} costs, {listing(shares)}" if shares else ""
        if gain or cost:
            parts = [f" {gain}"] if gain else []
            parts += [f"{' and' if gain else ''}, {cost}"] if cost else []
            said.append(f"{_at_strength(row, full)} {row.model} keeps{''.join(parts)}.")
    return said


def _idle(rows: list[Any]) -> list[str]:
    """Where a step to more strength gains nothing that the questions can see, and what it costs."""
    said = []
    for ours in _by_strength(rows):
        row = ours[0]
        if row.seeing_step_low > 0 or row.since == row.baseline:
            continue
        seen = f"{_seeing(row).name} {_difference(row, 'seeing_step')}"
        if row.seeing_step_high < 0:
            text = f"From {row.since} to {row.label} {row.model} loses in seeing: {seen}"
        else:
            text = f"From {row.since} to {row.label} nothing is gained that these {row.seeing_n:,} questions can see: {seen}"
        worse = [each for each in ours if each.reliable and _loss(each, "drawing_step")[1] > 0]
        if worse:
            text += f"; but drawing gets worse: {_places(worse, 'drawing_step', ours)}"
        said.append(f"{text}.")
    return said


# -- front and recommendation -------------------------------------------------------------------------------------


def _fronts(rows: list[Any]) -> list[str]:
    """Which points are on the Pareto front at each guidance scale, and of which that is certain."""
    said: dict[str, list[float]] = {}
    for scale, ours in _by_guidance(rows):
        on, off = ([row for row in ours if row.front == flag] for flag in (True, False))
        text = f"by the estimates: {listing(_names(on, ours))}"
        text += f"; not on it: {listing(_names(off, ours))}" if off else ""
        certain = [row for row in ours if row.front_certain]
        if len(certain) == len(ours):
            text += "; the intervals leave no doubt of this"
        elif certain:
            text += f"; certain, by intervals that hold together, only for {listing(_names(certain, ours))}"
        else:
            text += "; the intervals make it certain for none"
        said.setdefault(text, []).append(scale)
    several = sum(map(len, said.values())) > 1
    return [f"On the Pareto front{_where(scales) if several else ''} {text}." for text, scales in said.items()]


def _recommended(rows: list[Any]) -> list[str]:
    """The strength that the declared margins allow, or that none is shown to."""
    said: dict[str, list[float]] = {}
    for scale, ours in _by_guidance(rows):
        asked = [row for row in ours if row.fits]
        if not asked:
            continue
        row = asked[0]
        margins = []
        if not math.isnan(row.margin_drawing):
            margins.append(
                f"at most {_drawing(row).amount(row.margin_drawing)} of {_drawing(row).name} worse than {row.baseline}"
            )
        if not math.isnan(row.margin_seeing):
            margins.append(
                f"at most {_seeing(row).amount(row.margin_seeing)} of {_seeing(row).name} below full strength"
            )
        within = f"({listing(margins)})"
        best = [each for each in asked if each.recommended]
        if best:
            text = (
                f"{within} {listing(_names(best, ours))} is recommended"
                if len(best) == 1
                else (f"{within} {listing(_names(best, ours))} are recommended")
            )
            others = [each for each in asked if each.fits == "yes" and not each.recommended]
            text += f"; also within it: {listing(_names(others, ours))}" if others else ""
        else:
            text = f"{within} no strength is shown to lie"
        beyond = [each for each in asked if each.fits == "no"]
        open_ = [each for each in asked if each.fits == "not shown"]
        text += f"; {listing(_names(beyond, ours))}: beyond it for certain" if beyond else ""
        text += f"; {listing(_names(open_, ours))}: not shown either way" if open_ else ""
        said.setdefault(text, []).append(scale)
    if not said:
        return [
            "No strength is recommended, since no tolerance is declared (config: exchange, margin_drawing and margin_seeing)."
        ]
    return [f"Within the tolerance{_where(scales)} {text}." for text, scales in said.items()]


def _caveats(rows: list[Any]) -> list[str]:
    row = rows[0]
    seeing, drawing = _seeing(row), _drawing(row)
    said = [
        f"Seeing: {seeing.name} of the task {row.task}, over the same {row.seeing_n:,} questions for all; higher is better. "
        f"Drawing: {drawing.name} at N = {row.drawing_n:,}, the same prompts for all; "
        f"{'higher' if row.drawing_higher_is_better else 'lower'} is better.",
        "Shares are ratios of two differences over the same questions or prompts, with Fieller's 95 % intervals, each for "
        "itself; there is none where the difference at full strength is not certain. Differences from the baseline, steps from "
        "one strength to the next, the tolerance and the front go by intervals that hold together for all of their kind "
        "(Bonferroni).",
    ]
    if any(not row.reliable for row in rows):
        said.append(
            "Where N is below the limit for the feature dimensions, no cost in drawing is claimed, and no share of it."
        )
    return said


# -- words --------------------------------------------------------------------------------------------------------

_SPACE = "\N{NO-BREAK SPACE}"


def _seeing(row: Any) -> Any:
    return seeing_unit(row.seeing_metric)


def _drawing(row: Any) -> Any:
    return drawing_unit(row.drawing_metric, row.extractor)


def _difference(row: Any, column: str) -> str:
    unit = _seeing(row) if column.startswith("seeing") else _drawing(row)
    return str(unit.difference(*_ends(row, column)))


def _ends(row: Any, column: str) -> tuple[float, float, float]:
    """A difference and its interval, which holds together with the others of its kind."""
    low, high = ("_low_simultaneous", "_high_simultaneous") if column.endswith("_difference") else ("_low", "_high")
    return getattr(row, column), getattr(row, column + low), getattr(row, column + high)


def _loss(row: Any, column: str = "drawing_difference") -> tuple[float, float, float]:
    """How much worse in drawing, with the interval: above 0 is worse, whatever the metric."""
    value, low, high = _ends(row, column)
    return (-value, -high, -low) if row.drawing_higher_is_better else (value, low, high)


def _cost_is_certain(row: Any) -> bool:
    return bool(row.reliable and _loss(row)[1] > 0)


def _named(row: Any) -> str:
    """`finetuned at scale 1`."""
    return str(row.model if row.label == row.model else f"{row.model} at {row.label}")


def _names(rows: Sequence[Any], among: Sequence[Any]) -> list[str]:
    """Labels, with the model's name where several models are fine-tuned."""
    several = len({row.model for row in among if row.since}) > 1
    return [row.baseline if not row.since else _named(row) if several else row.label for row in rows]


def _at_strength(row: Any, full: Any) -> str:
    said = _FRACTIONS.get(row.adapter_scale) if full.adapter_scale == 1 else None
    return f"At {said} ({row.label})" if said else f"At {row.label}"


def _where(scales: list[float]) -> str:
    """` at guidance 1 and 3`; empty for arms without a guidance scale."""
    known = [scale for scale in scales if not math.isnan(scale)]
    return f" at guidance {listing(f'{scale:g}' for scale in known)}" if known else ""


def _at(row: Any, among: Iterable[Any]) -> str:
    """` at guidance 3`, where there are several guidance scales."""
    if math.isnan(row.guidance_scale) or len({each.guidance_scale for each in among}) < 2:
        return ""
    return f" at {guidance(row.guidance_scale)}"


def _by_strength(rows: Iterable[Any]) -> list[list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        if row.since:
            found.setdefault(repr((row.model, row.adapter_scale, row.step)), []).append(row)
    return list(found.values())


def _by_guidance(rows: Iterable[Any]) -> list[tuple[float, list[Any]]]:
    found: dict[str, tuple[float, list[Any]]] = {}
    for row in rows:
        found.setdefault(f"{row.guidance_scale:g}", (row.guidance_scale, []))[1].append(row)
    return list(found.values())


def _same_scale(one: Any, other: Any) -> bool:
    return f"{one.guidance_scale:g}" == f"{other.guidance_scale:g}"
