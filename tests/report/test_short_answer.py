"""The answer in one sentence: however many comparisons there are, it stays one, with numbers that are in the table."""

import re

import pytest
from records import PUBLISHED, record

from emudrift.evaluation.fid.comparison import compare
from emudrift.evaluation.tables import rows_of
from emudrift.report.answer.short import short_answer

DINO = "dinov2-9f8e7d6c5b4a"


def study(drifts: dict[tuple[str, float], float], extractors: tuple[str, ...] = (PUBLISHED,)) -> list:
    """Rows of comparison.csv; `drifts`: model and scale to the true difference."""
    scales = sorted({scale for _, scale in drifts})
    records = [record("base", scale, extractor=name) for scale in scales for name in extractors]
    records += [
        record(model, scale, corrected=20 + drift, extractor=name)
        for (model, scale), drift in drifts.items()
        for name in extractors
    ]
    return rows_of(compare(records, "base"))


def test_one_model_at_several_scales():
    rows = study({("tuned", 1.0): 9.0, ("tuned", 3.0): 0.1, ("tuned", 5.0): -9.0})
    text = short_answer(rows)
    assert text.startswith("tuned is worse than base at guidance 1 (FID +9.")
    assert "; better at guidance 5 (" in text
    assert "; inconclusive at guidance 3 (95 % intervals that hold together for 3 comparisons, N = 400" in text


def test_many_models_at_one_scale_are_named_by_the_smallest_and_largest_difference():
    rows = study({(f"tuned{size}", 3.0): float(size) for size in (9, 12, 15)} | {("same", 3.0): 0.1})
    text = short_answer(rows)
    assert text.startswith("Against base at guidance 3: 3 models, tuned9 (FID +9")
    assert "to tuned15 (FID +15" in text
    assert "are worse; same inconclusive (" in text
    assert "tuned12" not in text


def test_many_models_at_many_scales_are_counted():
    drifts = {(name, scale): drift * scale for name, drift in (("a", 9.0), ("b", -9.0)) for scale in (1.0, 2.0)}
    text = short_answer(study(drifts))
    assert text.startswith("Of 4 comparisons with base, 2 are worse (most: a at guidance 2, FID +18")
    assert "2 are better (most: b at guidance 2, FID −18" in text


@pytest.mark.parametrize(("other", "said"), [(9.0, "; the other extractors find the same"),
                                             (-9.0, "; the other extractors find otherwise in 1 of 1 comparisons")])  # fmt: skip
def test_whether_other_extractors_agree_is_said(other, said):
    rows = study({("tuned", 3.0): 9.0}) + study({("tuned", 3.0): other}, (DINO,))
    text = short_answer(rows)
    assert said in text
    assert "FID +9" in text
    assert "FD-DINOv2" not in text


def test_nothing_certain_still_has_its_interval():
    (row,) = rows = study({("tuned", 3.0): 0.1})
    text = short_answer(rows)
    assert text.startswith("tuned against base: inconclusive at guidance 3 (FID ")
    low, high = re.findall(r"\[(.*?) to (.*?)\]", text)[0]
    assert float(low.replace("−", "-")) == pytest.approx(row.low, abs=0.06)
    assert float(high.replace("−", "-")) == pytest.approx(row.high, abs=0.06)
    assert "(95 % interval, N = 400 images per arm)" in text
