"""The exchange rate in words, by fixed rules: what was gained, what it cost, and how much of it can be kept at which strength."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emudrift.evaluation.tables import rows_of
from emudrift.report.answer.scope import guidance
from emudrift.report.elements.seeing import exchange_words, share_text
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
    sees = exchange_words(rows[0]).sees  # The same at every guidance scale.
    differences = len(against_baseline) + len(_by_strength(against_baseline) if sees else against_baseline)
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
    words, name = exchange_words(row), _named(row)
    gains = {
        f"{words.more} {row.baseline}": [each for each in full if each.seeing_difference_low_simultaneous > 0],
        f"{words.less} {row.baseline}, so nothing was gained": [
            each for each in full if each.seeing_difference_high_simultaneous < 0
        ],
    }
    gains[f"gained nothing {words.nothing}"] = [
        each for each in full if not any(each is other for known in gains.values() for other in known)
    ]
    text = f"{name} " + "; it ".join(
        f"{said}: {_gains(found, 'seeing_difference', full)}" for said, found in gains.items() if found
    )
    costs = {
        words.worse: [each for each in full if _cost_is_certain(each)],
        words.better: [each for each in full if each.reliable and _loss(each)[2] < 0],
        words.unknown: [each for each in full if not each.reliable],
    }
    costs[words.neither] = [
        each for each in full if not any(each is other for known in costs.values() for other in known)
    ]
    parts = [f"it {said}: {_places(rows, 'drawing_difference', full)}" for said, rows in costs.items() if rows]
    held = f"{100 * row.confidence:.3g}{_SPACE}% intervals that hold together for {differences} differences"
    return f"{text}; {'; '.join(parts)} ({held})."


def _gains(rows: list[Any], column: str, all_rows: list[Any]) -> str:
    """`VQA accuracy +20 points [16 to 24]`, which does not depend on the guidance scale; of another gain as `_places`."""
    words = exchange_words(rows[0])
    if words.sees:
        rows, all_rows = rows[:1], rows[:1]
    return f"{words.gain.name} {listing(f'{_difference(row, column)}{_at(row, all_rows)}' for row in rows)}"


def _places(rows: list[Any], column: str, all_rows: list[Any]) -> str:
    """`FID +3.1 [2 to 4] at guidance 1 and +4.0 [3 to 5] at guidance 3`."""
    said = [f"{_difference(row, column)}{_at(row, all_rows)}" for row in rows]
    return f"{exchange_words(rows[0]).cost.name} {listing(said)}"


# -- shares -------------------------------------------------------------------------------------------------------


def _kept(rows: list[Any]) -> list[str]:
    """For each weaker strength: the shares of gain and of drawing that it keeps, or of the cost that it pays."""
    said = []
    for ours in _by_strength(row for row in rows if not row.full_strength):
        row, words = ours[0], exchange_words(ours[0])
        full = next(each for each in rows if each.full_strength and _same_scale(each, row))
        kept = [each for each in (ours[:1] if words.sees else ours) if not math.isnan(each.gain_kept)]
        shares = [
            share_text(each.gain_kept, each.gain_kept_low, each.gain_kept_high)
            + ("" if words.sees else _at(each, ours))
            for each in kept
        ]
        gain = f"{listing(shares)} of what it gained" if shares else ""
        priced = [each for each in ours if not math.isnan(each.cost_paid)]
        paid = [
            share_text(each.cost_paid, each.cost_paid_low, each.cost_paid_high, rest=words.sees) + _at(each, ours)
            for each in priced
        ]
        keeps = f"keeps {gain}" if gain else ""
        if not paid:
            text = keeps
        elif words.sees:
            text = f"{f'{keeps} and' if gain else 'keeps'}, of the drawing that {full.label} costs, {listing(paid)}"
        else:
            text = f"{f'{keeps} and ' if gain else ''}pays {listing(paid)} of the {words.cost.name} that {full.label} costs"
        if gain or paid:
            said.append(f"{_at_strength(row, full)} {row.model} {text}.")
    return said


def _idle(rows: list[Any]) -> list[str]:
    """Where a step to more strength gains nothing that can be seen, and what it costs."""
    said = []
    for ours in _by_strength(rows):
        words = exchange_words(ours[0])
        steps = ours[:1] if words.sees else ours
        idle = [row for row in steps if row.seeing_step_low <= 0 and row.since != row.baseline]
        lost = [row for row in idle if row.seeing_step_high < 0]
        for found in (lost, [row for row in idle if not any(row is other for other in lost)]):
            if not found:
                continue
            row, what = found[0], _gains(found, "seeing_step", ours)
            text = f"From {row.since} to {row.label} " + (
                f"{row.model} {words.loses}: {what}" if found is lost else f"nothing is gained {words.nothing}: {what}"
            )
            among = ours if words.sees else found
            worse = [each for each in among if each.reliable and _loss(each, "drawing_step")[1] > 0]
            if worse:
                text += f"; but {words.rises}: {_places(worse, 'drawing_step', ours)}"
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
        words = exchange_words(row)
        margins = [
            f"at most {unit.amount(margin)} of {unit.name} {than}"
            for unit, margin, than in (
                (words.cost, row.margin_drawing, f"worse than {row.baseline}"),
                (words.gain, row.margin_seeing, "below full strength"),
            )
            if not math.isnan(margin)
        ]
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
        margin = "margin_seeing" if exchange_words(rows[0]).sees else "margin_bought"
        return [
            f"No strength is recommended, since no tolerance is declared (config: exchange, margin_drawing and {margin})."
        ]
    return [f"Within the tolerance{_where(scales)} {text}." for text, scales in said.items()]


def _caveats(rows: list[Any]) -> list[str]:
    row = rows[0]
    words = exchange_words(row)
    direction = "higher" if row.drawing_higher_is_better else "lower"
    if words.sees:
        said = [
            f"Seeing: {words.gain.name} of the task {row.task}, over the same {row.seeing_n:,} questions for all; higher is "
            f"better. Drawing: {words.cost.name} at N = {row.drawing_n:,}, the same prompts for all; {direction} is better."
        ]
    else:
        said = [
            f"Gain: {words.gain.name}, the mean over the images of the same {row.seeing_n:,} prompts for all; higher is better. "
            f"Cost: {words.cost.name} at N = {row.drawing_n:,}, the same prompts for all; {direction} is better.",
            "A score by a network is no judgement of people, least of all where a model was tuned for that score or one like it; "
            "and a larger distance from the reference images says that the images are different, not that people like them less.",
        ]
    said += [
        f"Shares are ratios of two differences over the same {words.counted}, with Fieller's 95 % intervals, each for "
        "itself; there is none where the difference at full strength is not certain. Differences from the baseline, steps from "
        "one strength to the next, the tolerance and the front go by intervals that hold together for all of their kind "
        "(Bonferroni).",
    ]
    if any(not row.reliable for row in rows):
        said.append(
            f"Where N is below the limit for the feature dimensions, no {words.claim} is claimed, and no share of it."
        )
    return said


# -- words --------------------------------------------------------------------------------------------------------

_SPACE = "\N{NO-BREAK SPACE}"


def _difference(row: Any, column: str) -> str:
    words = exchange_words(row)
    unit = words.gain if column.startswith("seeing") else words.cost
    return str(unit.difference(*_ends(row, column)))


def _ends(row: Any, column: str) -> tuple[float, float, float]:
    """A difference and its interval, which holds together with the others of its kind."""
    low, high = ("_low_simultaneous", "_high_simultaneous") if column.endswith("_difference") else ("_low", "_high")
    return getattr(row, column), getattr(row, column + low), getattr(row, column + high)


def _loss(row: Any, column: str = "drawing_difference") -> tuple[float, float, float]:
    """The cost, with the interval: above 0 is worse, whatever the metric."""
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
