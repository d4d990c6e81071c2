"""Sizes in steps of the ladder: only where two steps enclose a difference."""

import base64

import pytest
from pages import SVG, Page, Study, words
from records import PUBLISHED, answer, ladder_of, pair, record

from emudrift.evaluation.fid.comparison import compare, fid_table
from emudrift.report.answer.size import size_of
from emudrift.report.elements.ladder import marks_of
from emudrift.report.figures.ladder import ladder_figure


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (2.05, "about what JPEG quality 35 costs real images, and between what blurs of 1 and 2 px cost"),
        (-2.05, "about what JPEG quality 35 costs real images, and between what blurs of 1 and 2 px cost"),
        (1.0, "between what JPEG qualities 75 and 35 cost real images, and about what a blur of 1 px costs"),
        (0.7, "between what JPEG qualities 75 and 35 cost real images"),
        (9.0, "between what blurs of 2 and 4 px cost real images"),
        (0.49, ""),  # The mildest step costs 0.5: nothing encloses it.
        (30.1, ""),
        (0.0, ""),
    ],
)
def test_a_difference_is_named_by_the_steps_that_enclose_it_and_never_beyond(difference, said):
    assert size_of(difference, ladder_of()) == said


def test_steps_that_do_not_rise_enclose_nothing_and_too_few_real_images_say_nothing():
    rungs = [rung for rung in ladder_of().rungs if rung.kind == "jpeg"]
    assert size_of(1.0, ladder_of(rungs=rungs[::-1])) == ""
    assert size_of(2.05, ladder_of(reliable=False)) == ""
    assert size_of(0.1, ladder_of(rungs=[rungs[0].model_copy(update={"distance": 0.0}), rungs[1]])) == ""


def test_the_answer_puts_findings_and_only_findings_into_steps():
    ladders = {PUBLISHED: ladder_of()}
    found = answer(pair(3.0, 2.05, error=0.3), ladders=ladders)
    said = (
        "In size, the difference of finetuned is about what JPEG quality 35 costs real images, and between what blurs of 1 and 2 "
        "px cost."
    )
    assert found.sizes == [said]
    assert f"\n{said}\n" in found.text()
    assert answer(pair(3.0, 2.05), ladders=ladders).sizes == []
    assert answer(pair(3.0, 2.05, error=0.3)).sizes == []
    (both,) = answer(pair(1.0, 2.05, error=0.3) + pair(3.0, 9, error=0.3), ladders=ladders).sizes
    assert "the difference of finetuned is at guidance 1 about what JPEG quality 35 costs real images" in both
    assert both.endswith("; at guidance 3 between what blurs of 2 and 4 px cost real images.")


def test_differences_and_floors_stand_beside_the_steps_by_their_size():
    records = [*pair(1.0, -3.0, error=0.3), record("tokenizer", None, corrected=4.0)]
    comparison, fid = compare(records[:2], "base"), fid_table(records)
    *steps, difference, floor = marks_of(PUBLISHED, ladder_of(), comparison, fid, ["tokenizer"])
    assert [mark.kind for mark in steps] == ["jpeg"] * 3 + ["blur"] * 3 + ["diversity"] * 2 + ["real"]
    row = comparison.iloc[0]
    assert (difference.label, difference.size) == ("finetuned, guidance 1: better", pytest.approx(3))
    assert (difference.low, difference.high) == pytest.approx((-row["high_simultaneous"], -row["low_simultaneous"]))
    assert (floor.label, floor.size) == ("tokenizer (floor)", pytest.approx(4))


def test_the_page_shows_the_ladder_where_there_is_one(tmp_path):
    study = Study()
    (extractor,) = study.experiment.extractor_names
    text = study.html(ladders={"": {extractor: ladder_of()}}, ladder_svg=SVG)
    assert "How large is that?" in text
    assert "JPEG quality 35" in text
    assert "2.001.80 to 2.20" in words(Page(text).text)
    links = [a for a in Page(text).of("a") if a.get("download") == "ladder-data.csv"]
    assert base64.b64decode(str(links[0]["href"]).partition(",")[2]).startswith(b"extractor,kind,label,size,low,high\n")
    assert "How large is that?" not in study.html()
    comparison, fid = study.tables[1], study.tables[0]
    for name in ("a", "b"):
        ladder_figure({"": {extractor: ladder_of()}}, comparison, fid, tmp_path / name, floors=[])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a-data.csv").read_text().splitlines()[1].startswith(f"{extractor},jpeg,JPEG quality 75,0.5,")
