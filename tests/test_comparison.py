"""Tables of FIDs and of differences, and the answer in words, from records whose truth is known."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from records import PUBLISHED, RANDOM, record

from emudrift.comparison import (
    COMPARISON_COLUMNS,
    FID_COLUMNS,
    FidRecord,
    compare,
    fid_table,
    load_records,
    load_table,
    write_table,
)
from emudrift.errors import InputError
from emudrift.report.verdict import Verdict, verdict
from emudrift.report.words import decimals, listing, number


def answer(records: list[FidRecord], baseline: str = "base") -> Verdict:
    return verdict(compare(records, baseline), fid_table(records), baseline)


def pair(scale: float | None, drift: float, **changes: object) -> list[FidRecord]:
    return [record("base", scale, **changes), record("finetuned", scale, corrected=20 + drift, **changes)]  # type: ignore[arg-type]


# --- tables ---


def test_fid_table_is_sorted_by_extractor_model_scale_and_n() -> None:
    records = [record(m, s, n) for m in ("zeta", "base") for s in (3.0, None, 1.0) for n in (400, 200)]
    table = fid_table(records, ["zeta", "base"])
    assert list(table.columns) == list(FID_COLUMNS)
    assert list(table["model"]) == ["zeta"] * 6 + ["base"] * 6
    assert [s for s in table["guidance_scale"][:6] if not math.isnan(s)] == [1, 1, 3, 3]
    assert table["guidance_scale"][:2].isna().all()
    assert list(table["n"][:4]) == [200, 400, 200, 400]
    assert fid_table(records[::-1], ["zeta", "base"]).equals(table)
    assert list(fid_table(records)["model"].unique()) == ["base", "zeta"]


def test_tables_survive_writing_and_reading(tmp_path: Path) -> None:
    # Names that a careless reader takes for missing values or numbers.
    records = [record(m, s, n) for m, s in (("null", 3.0), ("007", 3.0), ("NA", None)) for n in (100, 400)]
    reference = {"key": "k", "images": "real.npz", "selection": "full", "n": None}
    records = [FidRecord.model_validate(r.model_dump() | {"reference": reference}) for r in records]
    for name, table in (("fid.csv", fid_table(records)), ("comparison.csv", compare(records, "null"))):
        write_table(table, tmp_path / name)
        again = load_table(tmp_path / name)
        pd.testing.assert_frame_equal(again, table, rtol=1e-9)
        write_table(again, tmp_path / f"again-{name}")
        assert (tmp_path / f"again-{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_an_empty_comparison_survives_writing_and_reading(tmp_path: Path) -> None:
    table = compare([record()], "base")
    write_table(table, tmp_path / "c.csv")
    again = load_table(tmp_path / "c.csv")
    assert again.empty
    assert list(again.columns) == list(COMPARISON_COLUMNS)
    assert "nothing to compare" in verdict(again, fid_table([record()]), "base").headline


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", None])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "fid.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"fid\.csv"):
        load_table(path)


def test_records_are_read_and_faults_are_named(tmp_path: Path) -> None:
    good, bad, broken = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "broken.json"
    data = record().model_dump()
    good.write_text(json.dumps(data | {"extractor_settings": {"name": "inception"}}))
    assert load_records([good]) == [record()]
    bad.write_text(json.dumps(data | {"fid": math.nan}))
    with pytest.raises(InputError, match=r"bad\.json: fid: .*finite.*compute_fid again"):
        load_records([good, bad])
    broken.write_text(good.read_text()[:50])
    with pytest.raises(InputError, match=r"broken\.json: not JSON"):
        load_records([broken])
    with pytest.raises(InputError, match=r"absent\.json: no such file"):
        load_records([tmp_path / "absent.json"])


# --- differences ---


def test_the_difference_is_model_minus_baseline_and_corrected_for_bias() -> None:
    records = [record("base", corrected=20, bias=8), record("finetuned", corrected=32, bias=3)]
    row = compare(records, "base").iloc[0]
    assert row["difference"] == pytest.approx(7)
    assert row["difference_jackknife"] == pytest.approx(12)
    assert row["finding"] == "worse"
    assert (row["baseline"], row["model"], row["guidance_scale"]) == ("base", "finetuned", 3)
    turned = compare(records, "finetuned").iloc[0]
    assert turned["difference_jackknife"] == pytest.approx(-12)
    assert turned["finding"] == "better"
    assert turned["low"] == pytest.approx(-row["high"])


def test_what_moves_both_models_alike_does_not_widen_the_interval() -> None:
    def width(seed: int) -> float:
        row = compare([record("base", seed=1), record("finetuned", corrected=21, seed=seed)], "base").iloc[0]
        return row["high"] - row["low"]

    assert width(1) == pytest.approx(0, abs=1e-9)
    # Two independent arms of standard error 1: about twice t times the square root of 2.
    assert 3 < width(2) < 9


@pytest.mark.parametrize(("drift", "finding"), [(9, "worse"), (-9, "better"), (0.1, "no difference found")])
def test_the_finding_says_whether_the_interval_excludes_0(drift: float, finding: str) -> None:
    row = compare(pair(3.0, drift), "base").iloc[0]
    assert row["finding"] == finding
    assert (row["low"] > 0, row["high"] < 0) == (finding == "worse", finding == "better")


def test_only_equal_guidance_scales_are_compared() -> None:
    records = [record("base", 1.0), record("base", 3.0), record("finetuned", 3.0), record("finetuned", 5.0)]
    table = compare(records, "base")
    assert list(zip(table["baseline_arm"], table["arm"], strict=True)) == [(records[1].arm, records[2].arm)]
    caveats = " ".join(answer(records).caveats)
    assert "base at guidance 1 and finetuned at guidance 5" in caveats


def test_an_arm_without_guidance_scale_is_compared_with_every_arm() -> None:
    records = [record("base", 1.0), record("base", 3.0), record("closed", None, corrected=50)]
    table = compare(records, "base")
    assert list(table["guidance_scale"]) == [1, 3]
    assert set(table["arm"]) == {records[2].arm}
    assert "closed has no guidance scale of its own" in answer(records).statements[0].text
    turned = compare(records, "closed")
    assert list(turned["guidance_scale"]) == [1, 3]
    assert set(turned["finding"]) == {"better"}
    both = compare([record("base", None), record("closed", None, corrected=50)], "base")
    assert both["guidance_scale"].isna().all()
    assert both["finding"].tolist() == ["worse"]


def test_extractors_and_n_are_never_mixed() -> None:
    records = [
        record(m, 3.0, n, extractor=e)
        for m in ("base", "finetuned", "other")
        for n in (100, 400)
        for e in (PUBLISHED, RANDOM)
    ]
    table = compare(records, "base", ["base", "other", "finetuned"])
    assert len(table) == 8
    assert list(table["model"].unique()) == ["other", "finetuned"]
    assert list(table["n"][:2]) == [100, 400]


@pytest.mark.parametrize(
    "changes",
    [{"key": "other"}, {"n": 599}, {"images": "elsewhere"}],
)
def test_a_pair_with_different_references_is_refused(changes: dict[str, object]) -> None:
    reference = record().reference.model_dump() | changes
    with pytest.raises(InputError, match=r"base, guidance 3 and finetuned, guidance 3 .* references differ"):
        compare([record("base"), record("finetuned", reference=reference)], "base")


def test_a_model_without_a_fid_by_one_of_two_references_is_refused() -> None:
    same = record().reference.model_dump() | {"selection": "same"}
    with pytest.raises(InputError, match=f"no FID of finetuned by {PUBLISHED} with the reference same"):
        compare([*pair(3.0, 9), record("base", reference=same)], "base")
    with pytest.raises(InputError, match=f"no FID of base by {PUBLISHED} with the reference same"):
        compare([*pair(3.0, 9), record("finetuned", reference=same)], "base")


def test_a_pair_with_different_n_is_refused() -> None:
    records = [record("base", n=100), record("base", n=400), record("finetuned", n=100)]
    with pytest.raises(InputError, match="no FID of finetuned, guidance 3 at N = 400"):
        compare(records, "base")
    records = [record("base", n=100), record("finetuned", n=100), record("finetuned", n=1400)]
    with pytest.raises(InputError, match="no FID of base, guidance 3 at N = 1,400"):
        compare(records, "base")


def test_other_faults_of_the_records_are_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        fid_table([record(), record()])
    with pytest.raises(InputError, match="no FID of a model 'absent'; there are base"):
        compare([record()], "absent")
    with pytest.raises(InputError, match="dimensions, weights or jackknife blocks differ"):
        compare([record("base"), record("finetuned", leave_one_out=[1.0] * 10)], "base")


# --- the answer ---


def test_one_comparison_in_words() -> None:
    got = answer(pair(3.0, 12.3))
    (statement,) = got.statements
    row = compare(pair(3.0, 12.3), "base").iloc[0]
    assert statement.text == (
        f"At guidance 3, finetuned is worse than base: FID +12.3 [95 % interval {row['low']:.1f} to {row['high']:.1f}; "
        f"p < 0.001] over N = 400 images ({PUBLISHED}, reference: 600 images). Extrapolated to infinite N: +12.3 "
        f"[{row['infinity_low']:.1f} to {row['infinity_high']:.1f}]."
    )
    assert got.headline.startswith("finetuned is worse than base at guidance 3: FID +12.3 [95 % interval ")
    assert not statement.random_weights
    caveats = " ".join(got.caveats)
    assert "A higher FID is worse" in caveats
    assert "the reference held fixed" in caveats
    assert "multiple" not in caveats
    assert "not adjusted" not in caveats
    assert "unreliable" not in caveats
    assert "nothing outside" not in got.text()


def test_better_and_no_difference_in_words() -> None:
    assert "finetuned is better than base at guidance 3: FID −9.0 [95 % interval −" in answer(pair(3.0, -9)).headline
    none = answer(pair(3.0, 0.1))
    assert none.headline.startswith("No difference between finetuned and base was found at guidance 3: FID +0.1 [")
    assert none.statements[0].text.startswith("At guidance 3, no difference between finetuned and base was found: FID")
    unguided = answer(pair(None, 0.1)).statements[0].text
    assert unguided.startswith("No difference between finetuned and base was found: FID")


def test_the_answer_is_that_of_the_largest_n() -> None:
    records = pair(3.0, -9, n=100) + pair(3.0, 9, n=400)
    got = answer(records)
    assert "is worse than" in got.headline
    assert len(got.statements) == 1
    assert "better" not in got.headline + got.statements[0].text


def test_the_same_finding_at_every_scale() -> None:
    worse = answer(pair(1.0, 6) + pair(3.0, 12) + pair(5.0, 9))
    assert worse.headline == (
        "finetuned is worse than base at every guidance scale (1, 3 and 5): FID +6.0 to +12.0, intervals below, "
        "N = 400."
    )
    assert "differ between" not in worse.text()
    assert "Findings count all 3 comparisons made here (Holm)" in worse.text()
    row = compare(pair(1.0, 6) + pair(3.0, 12) + pair(5.0, 9), "base").iloc[0]
    adjusted = f"; adjusted {row['low_holm']:.1f} to {row['high_holm']:.1f}; p < 0.001]"
    assert adjusted in worse.statements[0].text
    assert (
        "The sign of the difference of finetuned holds across guidance scales: above 0 (worse); the adjusted interval "
        "excludes 0 in 3 of 3 comparisons."
    ) in worse.caveats
    none = answer(pair(1.0, 0.1) + pair(3.0, -0.1))
    assert none.headline == (
        "No difference between finetuned and base was found at any guidance scale (1 and 3), N = 400."
    )


def test_a_sign_that_flips_across_scales_is_said_plainly() -> None:
    got = answer(pair(1.0, 9) + pair(3.0, -9) + pair(5.0, 0.1))
    assert got.headline == (
        "The answer depends on the guidance scale: finetuned is worse than base at guidance 1 and better at "
        "guidance 3; no difference was found at guidance 5 (N = 400)."
    )
    assert [s.finding for s in got.statements] == ["worse", "better", "no difference found"]
    assert (
        "The sign of the difference of finetuned changes across guidance scales: above 0 at guidance 1 and 5; below 0 at "
        "guidance 3; the adjusted interval excludes 0 in 2 of 3 comparisons. The answer depends on them: no single one is "
        "the answer."
    ) in got.caveats


def test_worse_here_and_nothing_found_there_is_no_proof_of_a_difference_between_scales() -> None:
    got = answer(pair(1.0, 9) + pair(3.0, 0.1))
    assert "differ between guidance scales" in got.headline
    assert any("no proof that the two differ" in caveat for caveat in got.caveats)
    flipped = answer(pair(1.0, 9) + pair(3.0, -9))
    assert not any("no proof" in caveat for caveat in flipped.caveats)


def test_extractors_that_disagree_are_said_plainly() -> None:
    other = "inception-ffffffffffff"
    got = answer(pair(3.0, 9) + pair(3.0, -9, extractor=other))
    assert got.headline == (
        f"The answer depends on the extractor: finetuned is worse than base by {PUBLISHED} and better by {other} "
        "(N = 400)."
    )
    agreeing = answer(pair(3.0, 9) + pair(3.0, 90, extractor=other)).headline
    assert agreeing == "finetuned is worse than base at guidance 3 and for every extractor (N = 400)."
    # Distances of two extractors have no common unit, so no range of them is told.
    assert "+" not in agreeing


def test_random_weights_are_labelled_and_do_not_outvote_published_ones() -> None:
    changes = {"extractor": RANDOM, "weights": "random"}
    alone = answer(pair(3.0, 9, **changes))
    assert alone.headline.endswith("random weights and holds inside this experiment only.")
    assert "random weights" in alone.statements[0].text
    assert any("mean nothing outside this experiment" in caveat for caveat in alone.caveats)
    both = answer(pair(3.0, -9, **changes) + pair(3.0, 9))
    assert both.headline.startswith("finetuned is worse than base at guidance 3")
    assert "random" not in both.headline
    assert [s.random_weights for s in both.statements] == [False, True]
    assert any("of finetuned changes across extractors" in caveat for caveat in both.caveats)


def test_too_few_images_are_said_to_be_unreliable() -> None:
    small = " ".join(answer(pair(3.0, 9, n=100) + pair(3.0, 9, n=383)).caveats)
    assert "At N = 100 and 383, fewer images than twice the 192 dimensions" in small
    assert "That includes the largest N" in small
    mixed = " ".join(answer(pair(3.0, 9, n=100) + pair(3.0, 9, n=384)).caveats)
    assert "At N = 100, fewer" in mixed
    assert "That includes the largest N" not in mixed


def test_a_plain_difference_of_the_other_sign_is_told() -> None:
    records = [record("base", corrected=20, bias=30), record("finetuned", corrected=32, bias=3)]
    got = answer(records).statements[0]
    assert got.finding == "worse"
    assert "The plain FID difference, −15.0, has the other sign" in got.text


def test_a_plain_sign_that_depends_on_n_is_told() -> None:
    small = [record("base", n=100, bias=30), record("finetuned", n=100, corrected=32, bias=3)]
    assert f"depends on N (finetuned at guidance 3 by {PUBLISHED})" in answer(small + pair(3.0, 12)).text()
    assert "depends on N" not in answer(pair(3.0, 12, n=100) + pair(3.0, 12)).text()


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
    assert "no model has an arm at a guidance scale of base" in apart.headline


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


# --- several comparisons, and N to infinity ---


def test_p_values_agree_with_the_intervals_and_are_adjusted_for_all_comparisons_at_one_n() -> None:
    # Errors of 1 each: the t value of a difference is about its size over the square root of 2.
    records = [r for n in (100, 400) for s, drift in ((1.0, 3.2), (3.0, 12), (5.0, 0)) for r in pair(s, drift, n=n)]
    table = compare(records, "base")
    assert ((table["p"] < 0.05) == ((table["low"] > 0) | (table["high"] < 0))).all()
    assert ((table["p_holm"] < 0.05) == (table["finding"] != "no difference found")).all()
    for _, rows in table.groupby("n"):
        p = rows.set_index("guidance_scale")["p"].sort_values()
        expected = np.maximum.accumulate(np.minimum(p * [3, 2, 1], 1))
        pd.testing.assert_series_equal(rows.set_index("guidance_scale")["p_holm"][p.index], expected, check_names=False)


def test_an_adjusted_interval_has_the_confidence_at_which_holm_tests_it() -> None:
    """Against SciPy's t at the level of each step: 5 % / 3 for the smallest p, then / 2; what is not found keeps that."""
    table = compare(pair(1.0, 12) + pair(3.0, 0.3) + pair(5.0, 0.1), "base")
    assert list(table["finding"] != "no difference found") == [True, False, False]
    for row, level in zip(table.itertuples(), (0.05 / 3, 0.05 / 2, 0.05 / 2), strict=True):
        low, high = scipy.stats.t.interval(1 - level, 19, row.difference_jackknife, row.standard_error)
        assert (row.low_holm, row.high_holm) == pytest.approx((low, high))
    one = compare(pair(3.0, 12), "base").iloc[0]
    assert (one["low_holm"], one["high_holm"]) == pytest.approx((one["low"], one["high"]))


def test_findings_that_fall_when_all_comparisons_are_counted_are_named() -> None:
    row = compare(pair(3.0, 1), "base").iloc[0]
    weak = 2.4 * row["standard_error"] + 1 - row["difference_jackknife"]
    got = answer(pair(1.0, weak) + pair(3.0, 0.1) + pair(5.0, 0.1))
    assert [s.finding for s in got.statements] == ["no difference found"] * 3
    assert "Alone, but not among them all, these would be findings: finetuned at guidance 1 (p = 0.0" in got.text()
    assert "Alone" not in answer(pair(1.0, 30) + pair(3.0, 30)).text()
    assert "Holm" not in answer(pair(1.0, 30)).text()


def test_the_choice_of_the_reference_and_what_it_changes_are_told() -> None:
    same = record().reference.model_dump() | {"selection": "same", "n": 400}
    lower = [record("base", corrected=15, reference=same), record("finetuned", corrected=16, reference=same)]
    got = answer(pair(3.0, 9) + lower)
    assert got.headline == (
        "The findings differ between references: finetuned is worse than base with all images as reference at guidance 3; "
        "no difference was found with same images as reference at guidance 3 (N = 400)."
    ).replace(" at guidance 3", "")
    (told,) = (caveat for caveat in got.caveats if caveat.startswith("Reference"))
    assert (
        "the 400 real images of the same captions, in place of all, the corrected FID changes by −13.0 to −5.0" in told
    )
    assert "differences between models by −8.0; 1 of 1 findings changes with it." in told
    assert "holds across references: above 0" in got.text()
    assert "Reference" not in answer(pair(3.0, 9)).text()


def test_errors_that_disagree_with_those_of_random_halves_are_told() -> None:
    assert "do not trust" not in answer(pair(3.0, 9)).text()
    a, b = pair(3.0, 9)
    wild = FidRecord.model_validate(b.model_dump() | {"random_halves": [(60.0, 20.0), (20.0, 60.0)] * 10})
    assert "They disagree: do not trust these intervals" in answer([a, wild]).text()


def test_the_distance_through_dinov2_is_not_called_fid() -> None:
    text = answer(pair(3.0, 9, extractor="dinov2-0a1b2c3d4e5f")).text()
    assert "FD-DINOv2 +9" in text
    assert " FID +" not in text


def test_the_difference_at_infinite_n_has_no_bias_and_an_interval() -> None:
    row = compare([record("base", corrected=20, bias=8), record("finetuned", corrected=32, bias=3)], "base").iloc[0]
    assert row["difference_infinity"] == pytest.approx(12)
    assert row["infinity_low"] < 12 < row["infinity_high"]
    same = compare([record("base", seed=1), record("finetuned", corrected=21, seed=1)], "base").iloc[0]
    assert (same["infinity_low"], same["infinity_high"]) == pytest.approx((1, 1))


def test_an_extrapolation_of_the_other_sign_is_told() -> None:
    a, b = pair(3.0, 9)
    assert "other sign" not in answer([a, b]).text()
    other = FidRecord.model_validate(b.model_dump() | {"halves": [60.0, 60.0]})
    text = answer([a, other]).statements[0].text
    assert "Extrapolated to infinite N: −" in text
    assert text.endswith(", of the other sign: N is too small for either.")


def test_too_few_images_for_halves_leave_the_columns_empty(tmp_path: Path) -> None:
    none = dict.fromkeys(("halves", "halves_leave_one_out", *(f"fid_infinity{x}" for x in ("", "_low", "_high"))))
    records = pair(3.0, 1, n=6, leave_one_out=[20.0, 21, 22], **none)
    for table, column in ((compare(records, "base"), "difference_infinity"), (fid_table(records), "fid_infinity")):
        write_table(table, tmp_path / "t.csv")
        assert load_table(tmp_path / "t.csv")[column].isna().all()


def test_a_record_of_an_older_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    old = record().model_dump()
    del old["random_halves"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"old\.json: random_halves: .*remove the file and run compute_fid again"):
        load_records([tmp_path / "old.json"])
