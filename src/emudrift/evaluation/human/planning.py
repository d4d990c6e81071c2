"""What a study can find before anybody has voted: in words, for the terminal."""

from emudrift.evaluation.human.study import ANSWERS, Key
from emudrift.evaluation.human.two_way import ASSUMED
from emudrift.evaluation.intervals import CONFIDENCE


def planned(key: Key) -> list[str]:
    """A sentence for each number of raters: the net votes found four times in five, and what more raters or prompts would do.

    Net votes are in points of 100, for a spread of raters as in ASSUMED.
    """
    asked = {q: sum(any(item.question == q for item in items) for items in key.raters) for q in ANSWERS}
    comparisons = len(key.pairs) * sum(raters > 0 for raters in asked.values())
    return [
        _sentence(raters, len(key.prompts), key.split, comparisons)
        for raters in dict.fromkeys(asked.values())
        if raters
    ]


def _sentence(raters: int, prompts: int, split: int, comparisons: int) -> str:
    if raters < 2:
        return "one rater: there will be no finding, because what others would prefer is not known; ask for two or more"

    def points(prompts: int, raters: int, together: int = 1) -> str:
        confidence = 1 - (1 - CONFIDENCE) / together
        return f"{100 * ASSUMED.detectable(prompts, raters, confidence=confidence, split=split):.0f}"

    seen = (
        f"{raters // split} of {raters} raters on each of {prompts} prompts"
        if split > 1
        else f"{raters} raters on {prompts} prompts"
    )
    together = (
        f" ({points(prompts, raters, comparisons)} with all {comparisons} comparisons together)"
        if comparisons > 1
        else ""
    )
    return (
        f"{seen} find a net vote of {points(prompts, raters)} points of 100 four times in five{together} if raters differ by "
        f"{100 * ASSUMED.raters:.0f} points; twice the raters {points(prompts, 2 * raters)}, twice the prompts "
        f"{points(2 * prompts, raters)} points (docs/human-evaluation.md)"
    )
