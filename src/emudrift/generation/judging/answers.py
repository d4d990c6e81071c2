"""What a judge answers, as text: a word, or the probabilities of all words that are told apart."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emudrift.data.prompt_questions import NUMBERS

DIGITS = 6
"""After the point of a probability."""
_FORM = re.compile(r"[a-z]+ [01]?\.?\d+(e-\d+)?( [a-z]+ [01]?\.?\d+(e-\d+)?)*")


@dataclass(frozen=True)
class Judged:
    """An answer.

    Attributes:
        probability: of the expected answer, among those that are told apart; 0 where none of them was given.
        mass: what these have together: 1 for a word that is one of them.
    """

    probability: float
    mass: float


def written(probabilities: Mapping[str, float]) -> str:
    """`yes 0.931200 no 0.054400`."""
    return " ".join(f"{word} {value:.{DIGITS}f}" for word, value in probabilities.items())


def read(answer: str, expected: str, options: Sequence[str]) -> Judged:
    """An answer by `written`, or any text whose first word counts ("Yes, there is.")."""
    text = answer.strip().lower()
    if _FORM.fullmatch(text):
        words = text.split()
        found = {word: float(value) for word, value in zip(words[::2], words[1::2], strict=True)}
        mass = sum(found.get(word, 0.0) for word in options)
        return Judged(found.get(expected, 0.0) / mass if mass else 0.0, min(mass, 1.0))
    first = re.match(r"\W*(\w+)", text)
    word = "" if first is None else first[1]
    word = NUMBERS[int(word)] if word.isdigit() and int(word) < len(NUMBERS) else word
    return Judged(float(word == expected), float(word in options))
