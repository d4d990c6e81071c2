"""Tables of FIDs and of differences, from records whose truth is known."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import scipy.stats
from records import PUBLISHED, RANDOM, answer, pair, record

from emudrift.errors import InputError
from emudrift.evaluation.fid.comparison import compare, fid_table
from emudrift.evaluation.fid.record import FidRecord, load_records
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION
from emudrift.evaluation.tables import COMPARISON_COLUMNS, FID_COLUMNS, load_table, write_table
from emudrift.report.answer.verdict import verdict
from emudrift.runtime.atomic_files import checksum_file

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
    for name, table, columns in (
        ("fid.csv", fid_table(records), FID_COLUMNS),
        ("comparison.csv", compare(records, "null"), COMPARISON_COLUMNS),
    ):
        write_table(table, tmp_path / name)
        again = load_table(tmp_path / name, columns)
        pd.testing.assert_frame_equal(again, table, rtol=1e-9)
        write_table(again, tmp_path / f"again-{name}")
        assert (tmp_path / f"again-{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_an_empty_comparison_survives_writing_and_reading(tmp_path: Path) -> None:
    table = compare([record()], "base")
    write_table(table, tmp_path / "c.csv")
    again = load_table(tmp_path / "c.csv", COMPARISON_COLUMNS)
    assert again.empty
    assert list(again.columns) == list(COMPARISON_COLUMNS)
    assert "nothing to compare" in verdict(again, fid_table([record()]), "base").headline


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", None])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "fid.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"fid\.csv"):
        load_table(path, FID_COLUMNS)


def test_a_cell_that_is_neither_true_nor_false_is_refused(tmp_path: Path) -> None:
    write_table(fid_table([record()]), tmp_path / "fid.csv")
    (tmp_path / "fid.csv").write_text((tmp_path / "fid.csv").read_text().replace(",True,", ",Tru,"))
    with pytest.raises(InputError, match=r"fid\.csv: is not what was written"):
        load_table(tmp_path / "fid.csv", FID_COLUMNS)
    checksum_file(tmp_path / "fid.csv").unlink()
    with pytest.raises(InputError, match=r"fid\.csv: column reliable: "):
        load_table(tmp_path / "fid.csv", FID_COLUMNS)


def test_records_are_read_and_faults_are_named(tmp_path: Path) -> None:
    good, bad, broken = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "broken.json"
    data = record().model_dump()
    good.write_text(json.dumps(data))
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


@pytest.mark.parametrize(("drift", "finding"), [(9, "worse"), (-9, "better"), (0.1, "inconclusive")])
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
    assert "(closed has no guidance scale)" in answer(records).statements[0].text
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
        compare([record("base"), record("finetuned", leave_one_out=[1.0] * 10, block_sizes=[40] * 10)], "base")


# --- several comparisons, and N to infinity ---


def test_p_values_agree_with_the_intervals_and_are_adjusted_for_all_comparisons_at_one_n() -> None:
    # Errors of 1 each: the t value of a difference is about its size over the square root of 2.
    records = [r for n in (100, 400) for s, drift in ((1.0, 3.2), (3.0, 12), (5.0, 0)) for r in pair(s, drift, n=n)]
    table = compare(records, "base")
    assert ((table["p"] < 0.05) == ((table["low"] > 0) | (table["high"] < 0))).all()
    excludes = (table["low_simultaneous"] > 0) | (table["high_simultaneous"] < 0)
    assert ((table["p_adjusted"] < 0.05) == excludes).all()
    assert ((table["finding"] == "worse") == excludes)[table["reliable"]].all()


def test_simultaneous_intervals_count_all_comparisons_at_one_n() -> None:
    """Against SciPy's t at 5 % / 3."""
    table = compare(pair(1.0, 12) + pair(3.0, 0.3) + pair(5.0, 0.1), "base")
    assert list(table["finding"]) == ["worse", "inconclusive", "inconclusive"]
    for row in table.itertuples():
        low, high = scipy.stats.t.interval(1 - 0.05 / 3, 19, row.difference_jackknife, row.standard_error)
        assert (row.low_simultaneous, row.high_simultaneous) == pytest.approx((low, high))
        assert row.p_adjusted == pytest.approx(min(3 * row.p, 1))
    one = compare(pair(3.0, 12), "base").iloc[0]
    assert (one["low_simultaneous"], one["high_simultaneous"]) == pytest.approx((one["low"], one["high"]))


def test_a_control_that_is_byte_identical_is_not_tested_and_counts_in_no_adjustment() -> None:
    control = [record("control", scale, seed=1) for scale in (1.0, 3.0)]
    tested = [
        r for scale in (1.0, 3.0) for r in (record("base", scale, seed=1), record("finetuned", scale, corrected=23))
    ]
    same = {frozenset((one.arm, other.arm)) for one, other in zip(control, tested[::2], strict=True)}
    table = compare([*tested, *control], "base", identical=same)
    controls, others = table[table["model"] == "control"], table[table["model"] == "finetuned"]
    assert list(controls["finding"]) == ["byte-identical"] * 2
    assert controls[["p", "p_adjusted"]].isna().all(axis=None)
    assert (controls[["difference", "low_simultaneous", "high_simultaneous"]] == 0).all(axis=None)
    alone = compare(tested, "base")
    for column in ("p_adjusted", "low_simultaneous", "finding"):
        assert list(others[column]) == list(alone[column])
    counted = compare([*tested, *control], "base")
    assert list(counted["p_adjusted"][:2]) != list(alone["p_adjusted"])


def test_below_the_limit_nothing_is_found_however_clear_it_looks() -> None:
    limit = math.ceil(MIN_N_PER_DIMENSION * 64)
    table = compare(pair(3.0, 50, n=limit - 1) + pair(3.0, 50, n=limit), "base")
    assert (table["low_simultaneous"] > 0).all()
    assert list(table["finding"]) == ["too few images", "worse"]
    assert list(table["reliable"]) == [False, True]


def test_the_difference_at_infinite_n_has_no_bias_and_an_interval() -> None:
    row = compare([record("base", corrected=20, bias=8), record("finetuned", corrected=32, bias=3)], "base").iloc[0]
    assert row["difference_infinity"] == pytest.approx(12)
    assert row["infinity_low"] < 12 < row["infinity_high"]
    same = compare([record("base", seed=1), record("finetuned", corrected=21, seed=1)], "base").iloc[0]
    assert (same["infinity_low"], same["infinity_high"]) == pytest.approx((1, 1))


def test_too_few_images_for_halves_leave_the_columns_empty(tmp_path: Path) -> None:
    none = dict.fromkeys(("halves", "quarters", *(f"fid_infinity{x}" for x in ("", "_low", "_high"))))
    records = pair(3.0, 1, n=6, leave_one_out=[20.0, 21, 22], block_sizes=[2, 2, 2], **none)
    for table, columns, column in (
        (compare(records, "base"), COMPARISON_COLUMNS, "difference_infinity"),
        (fid_table(records), FID_COLUMNS, "fid_infinity"),
    ):
        write_table(table, tmp_path / "t.csv")
        assert load_table(tmp_path / "t.csv", columns)[column].isna().all()


def test_a_record_of_an_older_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    old = record().model_dump()
    del old["random_halves"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"old\.json: random_halves: .*remove the file and run compute_fid again"):
        load_records([tmp_path / "old.json"])
