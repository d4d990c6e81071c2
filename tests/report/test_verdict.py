"""The answer in words, from records whose truth is known."""

import math
import re

import pytest
from records import PUBLISHED, RANDOM, answer, pair, record

from emudrift.evaluation.fid.comparison import compare, fid_table
from emudrift.evaluation.fid.record import FidRecord
from emudrift.evaluation.intervals import METHOD, MIN_N_PER_DIMENSION, SAMPLED
from emudrift.evaluation.tables import rows_of
from emudrift.report.answer.verdict import verdict
from emudrift.report.elements.wording import decimals, listing, number

LIMIT = math.ceil(MIN_N_PER_DIMENSION * 64)


def ends(row) -> str:
    """A difference with the interval that its finding goes by."""
    low, high = (number(end, 1) for end in (row.low_simultaneous, row.high_simultaneous))
    return f"FID {number(row.difference_jackknife, 1, signed=True)} [{low} to {high}]"


def test_one_comparison_in_words() -> None:
    got = answer(pair(3.0, 12.3))
    (statement,) = got.statements
    row = compare(pair(3.0, 12.3), "base").iloc[0]
    assert statement.text == (
        f"At guidance 3, finetuned is worse than base: FID +12.3 [95 % interval {row['low']:.1f} to {row['high']:.1f}; "
        "p < 0.001] at N = 400 images per arm (inception, reference: 600 images); +9.2 in the means of the features, +3.1 in "
        f"their covariances. Extrapolated to infinite N: +12.3 [{row['infinity_low']:.1f} to {row['infinity_high']:.1f}]."
    )
    assert got.headline == (
        f"finetuned is worse than base at guidance 3: FID +12.3 [{row['low']:.1f} to {row['high']:.1f}] (95 % interval, N = 400 "
        "images per arm)."
    )
    assert not statement.random_weights
    caveats = " ".join(got.caveats)
    assert "A higher FID is worse" in caveats
    assert "the reference held fixed" in caveats
    assert "multiple" not in caveats
    assert "not adjusted" not in caveats
    assert "unreliable" not in caveats
    assert "only within" not in got.text()


def test_better_and_inconclusive_in_words() -> None:
    assert "finetuned is better than base at guidance 3: FID −9.0 [−" in answer(pair(3.0, -9)).headline
    none = answer(pair(3.0, 0.1))
    row = compare(pair(3.0, 0.1), "base").iloc[0]
    assert none.headline == (
        f"Inconclusive at guidance 3: finetuned may be up to {row['high']:.1f} worse or {-row['low']:.1f} better in FID than "
        "base (95 % interval, N = 400 images per arm)."
    )
    assert none.statements[0].text.startswith(
        "At guidance 3, inconclusive whether finetuned and base differ: FID +0.1 ["
    )
    unguided = answer(pair(None, 0.1))
    assert unguided.statements[0].text.startswith("Inconclusive whether finetuned and base differ: FID")
    assert unguided.headline.startswith("Inconclusive: finetuned may be up to")


def test_the_answer_is_that_of_the_largest_n() -> None:
    records = pair(3.0, -9, n=100) + pair(3.0, 9, n=400)
    got = answer(records)
    assert "is worse than" in got.headline
    assert len(got.statements) == 1
    assert "better" not in got.headline + got.statements[0].text


def test_the_same_finding_at_every_scale() -> None:
    worse = answer(pair(1.0, 6) + pair(3.0, 12) + pair(5.0, 9))
    amounts = [
        f"{name}+{row.difference_jackknife:.1f} [{row.low_simultaneous:.1f} to {row.high_simultaneous:.1f}] at guidance {scale}"
        for name, scale, row in zip(
            ("FID ", "", ""),
            (1, 3, 5),
            rows_of(compare(pair(1.0, 6) + pair(3.0, 12) + pair(5.0, 9), "base")),
            strict=True,
        )
    ]
    assert worse.headline == (
        f"finetuned is worse than base at every guidance scale: {listing(amounts)} (95 % intervals that hold together for 3 "
        "comparisons, N = 400 images per arm)."
    )
    assert "differ between" not in worse.text()
    assert "Findings are based on intervals that hold together for all 3 comparisons" in worse.text()
    row = compare(pair(1.0, 6) + pair(3.0, 12) + pair(5.0, 9), "base").iloc[0]
    adjusted = (
        f"; {row['low_simultaneous']:.1f} to {row['high_simultaneous']:.1f} together with the others; adjusted p = 0."
    )
    assert adjusted in worse.statements[0].text
    assert (
        "The sign of the difference for finetuned is consistent across guidance scales: above 0 (worse); the adjusted "
        "interval excludes 0 in 3 of 3 comparisons."
    ) in worse.caveats
    none = answer(pair(1.0, 0.1) + pair(3.0, -0.1))
    assert none.headline.startswith("Inconclusive at every guidance scale: finetuned may be up to ")
    assert " better in FID than base at guidance 1 and up to " in none.headline


def test_a_sign_that_flips_across_scales_is_said_plainly() -> None:
    records = pair(1.0, 9) + pair(3.0, -9) + pair(5.0, 0.1)
    got = answer(records)
    worse, better, neither = rows_of(compare(records, "base"))
    assert got.headline == (
        f"The answer depends on the guidance scale: finetuned is worse than base at guidance 1 ({ends(worse)}) and better at "
        f"guidance 3 ({ends(better)}); inconclusive at guidance 5 (up to {neither.high_simultaneous:.1f} worse or "
        f"{-neither.low_simultaneous:.1f} better in FID); 95 % intervals that hold together for 3 comparisons, N = 400 images "
        "per arm."
    )
    assert [s.finding for s in got.statements] == ["worse", "better", "inconclusive"]
    assert (
        "The sign of the difference for finetuned varies across guidance scales: above 0 at guidance 1 and 5; below 0 at "
        "guidance 3; the adjusted interval excludes 0 in 2 of 3 comparisons. The conclusion depends on these choices; no "
        "single comparison settles the question."
    ) in got.caveats


def test_worse_here_and_nothing_found_there_is_no_proof_of_a_difference_between_scales() -> None:
    got = answer(pair(1.0, 9) + pair(3.0, 0.1))
    assert "differ between guidance scales" in got.headline
    assert any("not evidence that the two differ" in caveat for caveat in got.caveats)
    flipped = answer(pair(1.0, 9) + pair(3.0, -9))
    assert not any("not evidence" in caveat for caveat in flipped.caveats)


def test_extractors_that_disagree_are_said_plainly() -> None:
    other = "inception-ffffffffffff"
    records = pair(3.0, 9) + pair(3.0, -9, extractor=other)
    got = answer(records)
    worse, better = rows_of(compare(records, "base"))
    assert got.headline == (
        f"The answer depends on the extractor: finetuned is worse than base under inception (1) ({ends(worse)}) and better "
        f"under inception (2) ({ends(better)}); 95 % intervals that hold together for 2 comparisons, N = 400 images per arm."
    )
    # Distances of two extractors have no common unit, so each has its name.
    agreeing = answer(pair(3.0, 9) + pair(3.0, 90, extractor="dinov2-ffffffffffff")).headline
    assert agreeing.startswith("finetuned is worse than base at guidance 3 and for every extractor: FD-DINOv2 +90.0 [")
    assert "] under dinov2 and FID +9.0 [" in agreeing
    # A fingerprint stands in tables, never in a sentence.
    assert not re.search(r"[0-9a-f]{12}", got.text())


def test_random_weights_are_labelled_and_do_not_outvote_published_ones() -> None:
    changes = {"extractor": RANDOM, "weights": "random"}
    alone = answer(pair(3.0, 9, **changes))
    assert alone.random
    assert alone.text().count("random weights: they are meaningful only within this experiment") == 1
    both = answer(pair(3.0, -9, **changes) + pair(3.0, 9))
    assert both.headline.startswith("finetuned is worse than base at guidance 3")
    assert not both.random
    assert "random" not in both.headline
    assert [s.random_weights for s in both.statements] == [False, True]
    assert any("for finetuned varies across extractors" in caveat for caveat in both.caveats)


def test_too_few_images_are_said_to_be_unreliable() -> None:
    small = " ".join(answer(pair(3.0, 9, n=100) + pair(3.0, 9, n=LIMIT - 1)).caveats)
    assert (
        f"At N = 100 and {LIMIT - 1}, fewer images than {MIN_N_PER_DIMENSION:g} times the 64 feature dimensions"
        in small
    )
    assert "This includes the largest N" in small
    few = answer(pair(1.0, 9, n=LIMIT - 1) + pair(3.0, 9, n=LIMIT - 1))
    assert few.headline == (
        f"Too few images to compare finetuned with base at every guidance scale: N = {LIMIT - 1}, of the {LIMIT} that 64 feature "
        "dimensions need."
    )
    mixed = " ".join(answer(pair(3.0, 9, n=100) + pair(3.0, 9, n=LIMIT)).caveats)
    assert "At N = 100, fewer" in mixed
    assert "This includes the largest N" not in mixed


def test_a_plain_difference_of_the_other_sign_is_told() -> None:
    records = [record("base", corrected=20, bias=30), record("finetuned", corrected=32, bias=3)]
    got = answer(records).statements[0]
    assert got.finding == "worse"
    assert "The plain FID difference, −15.0, has the opposite sign" in got.text


def test_a_plain_sign_that_depends_on_n_is_told() -> None:
    small = [record("base", n=100, bias=30), record("finetuned", n=100, corrected=32, bias=3)]
    assert "depends on N (finetuned at guidance 3)" in answer(small + pair(3.0, 12)).text()
    assert "depends on N" not in answer(pair(3.0, 12, n=100) + pair(3.0, 12)).text()


def test_the_interval_of_the_headline_is_the_one_that_its_finding_goes_by() -> None:
    row = compare(pair(3.0, 1), "base").iloc[0]
    weak = 2.4 * row["standard_error"] + 1 - row["difference_jackknife"]
    records = [*pair(3.0, weak), record("other", corrected=20.1, seed=1), record("third", corrected=20.2, seed=2)]
    first = compare(records, "base").iloc[0]
    assert first["low"] > 0 > first["low_simultaneous"]
    possible = (
        f"up to {first['high_simultaneous']:.1f} worse or {-first['low_simultaneous']:.1f} better in FID than base"
    )
    assert answer(records).headline.startswith(
        f"Inconclusive at guidance 3: finetuned may be {possible} (95 % intervals that"
    )


def test_folders_without_guidance_scale_are_told_apart_by_both_references() -> None:
    """A scale that is NaN is not equal to itself."""
    same = record().reference.model_dump() | {"selection": "same", "n": 400}
    got = answer(pair(None, 9) + pair(None, 9, reference=same))
    assert "it changes 0 of 1 findings" in got.text()
    both = answer(pair(None, 9) + pair(None, -9, reference=same)).text()
    assert (
        "varies across references: above 0 with all images as reference; below 0 with same images as reference" in both
    )


def test_what_two_references_say_of_one_model_alone_is_told() -> None:
    same = record().reference.model_dump() | {"selection": "same", "n": 400}
    text = answer([record(), record(corrected=14, reference=same)]).text()
    assert "There is nothing to compare" in text
    assert "changes the bias-corrected FID by −6.0." in text


def test_identical_arms_are_called_neither_better_nor_worse() -> None:
    records = [r for scale in (1.0, 3.0) for r in (record("base", scale, seed=1), record("finetuned", scale, seed=1))]
    text = answer(records).text()
    assert text.startswith("finetuned and base have exactly the same distance at every guidance scale (95 % intervals")
    assert "better" not in text
    assert "sign" not in text


def test_where_all_arms_are_controls_nothing_is_concluded() -> None:
    records = [r for scale in (1.0, 3.0) for r in (record("base", scale, seed=1), record("control", scale, seed=1))]
    same = {frozenset((records[i].arm, records[i + 1].arm)) for i in (0, 2)}
    said = verdict(compare(records, "base", identical=same), fid_table(records), "base")
    assert said.headline == (
        "The images of control are byte-identical to those of base: a control, for which nothing is tested and which "
        "counts in no adjustment."
    )
    assert [each.text for each in said.statements] == [
        f"control and base at guidance {scale}: all 400 images are byte-identical, a control; nothing is tested."
        for scale in (1, 3)
    ]
    mixed = [*records, record("finetuned", 1.0, corrected=40), record("finetuned", 3.0, seed=1)]
    same.add(frozenset((mixed[2].arm, mixed[5].arm)))
    said = verdict(compare(mixed, "base", identical=same), fid_table(mixed), "base")
    assert said.headline.startswith("finetuned is worse than base at guidance 1: FID +20")
    assert said.headline.count("adjustment") == 2
    assert "The images of finetuned at guidance 3 are byte-identical to those of base" in said.headline


def test_every_model_gets_its_sentence() -> None:
    records = [record("base"), record("finetuned", corrected=40), record("other", corrected=5)]
    headline = answer(records).headline
    assert "finetuned is worse than base" in headline
    assert "other is better than base" in headline


def test_nothing_to_compare() -> None:
    alone = answer([record(n=100)])
    assert alone.headline == "There is nothing to compare: base is the only model."
    assert alone.statements == []
    assert "unreliable" in " ".join(alone.caveats)
    apart = answer([record("base", 1.0), record("finetuned", 3.0)])
    assert "no other model has an arm at a guidance scale of base" in apart.headline


def test_a_reference_of_the_same_captions_is_named() -> None:
    reference = {"key": "k", "images": "val2014", "selection": "same", "n": 400}
    text = answer(pair(3.0, 9, reference=reference)).statements[0].text
    assert "reference: the real images of the same captions" in text


@pytest.mark.parametrize(
    ("value", "places", "signed", "text"),
    [(1234.56, 1, False, "1,234.6"), (-0.04, 1, True, "0.0"), (-2.5, 2, False, "−2.50"), (3.0, 0, True, "+3")],
)
def test_numbers_for_people(value: float, places: int, signed: bool, text: str) -> None:
    assert number(value, places, signed=signed) == text


def test_decimals_show_two_digits_of_the_interval_and_never_a_false_0() -> None:
    assert [decimals(w) for w in (250, 25, 5.1, 0.51, 0.00051)] == [0, 0, 1, 2, 5]
    assert decimals(5.1, 0.004, 5.104) == 3
    assert decimals(0, 0) == 1


def test_listing() -> None:
    assert [listing(items) for items in (["1"], ["1", "3"], ["1", "3", "5"])] == ["1", "1 and 3", "1, 3 and 5"]


def test_findings_that_fall_when_all_comparisons_are_counted_are_named() -> None:
    row = compare(pair(3.0, 1), "base").iloc[0]
    weak = 2.4 * row["standard_error"] + 1 - row["difference_jackknife"]
    got = answer(pair(1.0, weak) + pair(3.0, 0.1) + pair(5.0, 0.1))
    assert [s.finding for s in got.statements] == ["inconclusive"] * 3
    named = "Significant per comparison, but not after adjustment: finetuned at guidance 1 (p = 0.0"
    assert named in got.text()
    assert "not after adjustment" not in answer(pair(1.0, 30) + pair(3.0, 30)).text()
    assert "together" not in answer(pair(1.0, 30)).text()


def test_the_choice_of_the_reference_and_what_it_changes_are_told() -> None:
    same = record().reference.model_dump() | {"selection": "same", "n": 400}
    lower = [record("base", corrected=15, reference=same), record("finetuned", corrected=16, reference=same)]
    got = answer(pair(3.0, 9) + lower)
    full, small = rows_of(compare(pair(3.0, 9) + lower, "base"))
    assert got.headline == (
        f"The findings differ between references: finetuned is worse than base with all images as reference ({ends(full)}); "
        f"inconclusive with same images as reference (up to {small.high_simultaneous:.1f} worse or {-small.low_simultaneous:.1f} "
        "better in FID); 95 % intervals that hold together for 2 comparisons, N = 400 images per arm."
    )
    (told,) = (caveat for caveat in got.caveats if caveat.startswith("Choice of reference"))
    assert (
        "using the 400 real images of the same captions instead of all real images changes the bias-corrected FID by "
        "−13.0 to −5.0 and differences between models by −8.0; it changes 1 of 1 findings."
    ) in told
    assert "is consistent across references: above 0" in got.text()
    assert "Choice of reference" not in answer(pair(3.0, 9)).text()


def test_a_small_reference_and_one_that_is_held_fixed_are_said() -> None:
    method = f"{METHOD.format(20)}; {SAMPLED}"
    sampled = answer(pair(3.0, 9, method=method)).text()
    assert "Uncertainty of the reference set" not in sampled
    assert "The reference has 600 images, fewer than 10 for each of the 64 dimensions" in sampled
    large = record().reference.model_dump() | {"n": 640}
    assert "fewer than 10" not in answer(pair(3.0, 9, method=method, reference=large)).text()
    assert "intervals count that" in sampled
    held = answer(pair(3.0, 9, reference_bias=0.42)).text()
    assert "dimensions of inception." in held
    assert "intervals count that" not in held
    assert "Uncertainty of the reference set is excluded" in held
    assert "adds about 0.42 to each distance" in held
    assert "adds an unknown amount to each distance" in answer(pair(3.0, 9, reference_bias=None)).text()


def test_errors_that_disagree_with_those_of_random_halves_are_told() -> None:
    assert "disagree" not in answer(pair(3.0, 9)).text()
    a, b = pair(3.0, 9)
    wild = FidRecord.model_validate(b.model_dump() | {"random_halves": [(60.0, 20.0), (20.0, 60.0)] * 10})
    assert "The two disagree, so these intervals are unreliable" in answer([a, wild]).text()


def test_the_distance_through_dinov2_is_not_called_fid() -> None:
    text = answer(pair(3.0, 9, extractor="dinov2-0a1b2c3d4e5f")).text()
    assert "FD-DINOv2 +9" in text
    assert " FID +" not in text


def test_a_margin_makes_no_loss_a_finding_and_is_said_with_it() -> None:
    margins = {PUBLISHED: 2.0}
    none = answer(pair(3.0, 0.1, error=0.3), margins=margins)
    assert none.headline.startswith("finetuned is no worse than base by the margin of 2 at guidance 3: FID +0.1 [−0.")
    assert none.statements[0].finding == "no worse than the margin"
    small = answer(pair(3.0, 0.5, error=0.1), margins=margins).headline
    assert small.startswith(
        "finetuned is worse than base, but by less than the margin of 2, at guidance 3: FID +0.50 [0."
    )
    wide = answer(pair(3.0, 0.1, error=1.0), margins=margins)
    assert wide.statements[0].finding == "inconclusive"
    mixed = answer(pair(1.0, 9) + pair(3.0, 0.1, error=0.3), margins=margins).headline
    assert "worse than base at guidance 1 (FID +9.0 [" in mixed
    assert " and no worse than base by the margin of 2 at guidance 3 (FID +0.1 [−" in mixed


def test_a_finding_that_rounding_could_make_is_never_without_that_remark() -> None:
    remark = "rounding alone moves a FID by 0.14"
    tiny = answer(pair(3.0, 0.1, error=0.01))
    assert tiny.statements[0].finding == "worse"
    assert remark in tiny.headline
    assert remark in tiny.statements[0].text
    assert remark not in answer(pair(3.0, 0.2, error=0.01)).text()
    assert remark not in answer(pair(3.0, 0.1)).text()
    # The figure was measured with the published Inception.
    assert remark not in answer(pair(3.0, 0.1, error=0.01, extractor=RANDOM, weights="random")).text()


def test_an_arm_that_is_missing_is_named_in_the_first_sentence() -> None:
    got = answer([*pair(1.0, 9), record("base", 3.0), record("base", 5.0)]).headline
    assert "; nothing can be said at guidance 3 and 5, where finetuned has no arm; 95 % interval" in got
    got = answer([*pair(1.0, 9), record("finetuned", 3.0), record("other", 5.0)]).headline
    assert "nothing can be said at guidance 3, where base has no arm" in got
    assert got.endswith("other cannot be compared with base: they share no guidance scale.")


def test_an_extrapolation_of_the_other_sign_is_told() -> None:
    a, b = pair(3.0, 9)
    assert "opposite sign" not in answer([a, b]).text()
    other = FidRecord.model_validate(b.model_dump() | {"halves": [60.0] * 3})
    text = answer([a, other]).statements[0].text
    assert "Extrapolated to infinite N: −" in text
    assert text.endswith(", which has the opposite sign: N is too small for either estimate.")
