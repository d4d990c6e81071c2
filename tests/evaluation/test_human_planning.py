"""What a study can find is said before anybody votes: against the definition of the two-way error, and for each question."""

import numpy as np
from ratings import key_of, three_arms
from scipy.stats import t

from emudrift.evaluation.human.planning import planned
from emudrift.evaluation.human.two_way import ASSUMED


def detectable(prompts: int, raters: int, votes: int, confidence: float) -> float:
    """Four times in five, in points: the error times the t quantiles of confidence and power, with Satterthwaite's degrees."""
    p, r, e = ASSUMED.prompts**2 / prompts, ASSUMED.raters**2 / raters, ASSUMED.rest**2 / votes
    degrees = (p + r + e) ** 2 / (
        (p + e) ** 2 / (prompts - 1) + (r + e) ** 2 / (raters - 1) + e**2 / ((prompts - 1) * (raters - 1))
    )
    return 100 * np.sqrt(p + r + e) * (t.ppf((1 + confidence) / 2, degrees) + t.ppf(0.8, degrees))


def test_what_can_be_found_for_one_comparison_and_for_all():
    """Six raters, of whom three see each of 40 prompts; three pairs of arms and two questions."""
    (said,) = planned(key_of(**three_arms({"raters": 6, "split": 2})))
    one, six = (detectable(40, 6, 120, 1 - 0.05 / m) for m in (1, 6))
    raters, prompts = detectable(40, 12, 240, 0.95), detectable(80, 6, 240, 0.95)
    assert said == (
        f"3 of 6 raters on each of 40 prompts find a net vote of {one:.0f} points of 100 four times in five ({six:.0f} with all "
        f"6 comparisons together) if raters differ by 21 points; twice the raters {raters:.0f}, twice the prompts {prompts:.0f} "
        "points (docs/human-evaluation.md)"
    )


def test_questions_with_other_raters_are_planned_apart_and_one_rater_finds_nothing():
    many, one = planned(
        key_of({"raters": {"appeal": 5, "faithfulness": 1}, "pairs": [{"model": "finetuned", "guidance_scale": 3}]})
    )
    assert many.startswith("5 raters on 40 prompts find a net vote of ")
    assert one.startswith("one rater: there will be no finding")
