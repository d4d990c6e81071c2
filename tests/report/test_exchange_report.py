"""The exchange rate in words, as a figure and on the page: every sentence against the truth that the points were made with."""

import copy
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from exchange_points import DRAWING, SEEING, axes_of, points
from pages import Page, Study, words

from emudrift.config.exchange import Exchange
from emudrift.evaluation.exchange.table import exchange_table
from emudrift.report.answer.exchange import exchange_answer
from emudrift.report.elements.seeing import seeing_unit
from emudrift.report.figures.exchange import exchange_figure
from emudrift.report.figures.style import FORMATS

TWO = (1.0, 2.0)


def table(settings: dict | None = None, **changes) -> pd.DataFrame:
    return exchange_table(points(**changes), axes_of(), "base", Exchange(**(settings or {})), "a note")


def said(settings: dict | None = None, **changes) -> str:
    answer = exchange_answer(table(settings, **changes))
    return words("\n".join([answer.headline, *answer.statements]))


def shares(text: str, pattern: str) -> list[float]:
    return [float(each) / 100 for each in re.search(pattern + r" (\d+) % \[(−?\d+) to (\d+)\]", text).groups()]


def test_what_is_kept_at_half_strength_is_true() -> None:
    text = said(error=0.2)
    gained = (SEEING[0.5] - SEEING[math.nan]) / (SEEING[1.0] - SEEING[math.nan])
    spared = 1 - (DRAWING[0.5] - DRAWING[math.nan]) / (DRAWING[1.0] - DRAWING[math.nan])
    assert "At half strength (scale 0.5) finetuned keeps" in text
    _, low, high = shares(text, r"\(scale 0.5\) finetuned keeps")
    assert low <= gained <= high
    _, low, high = shares(text, r"of the drawing that scale 1 costs,")
    assert low <= spared <= high
    assert text.startswith("finetuned at scale 1 sees better than base: VQA accuracy +")
    assert "it draws worse: FID +1" in text
    assert "(95 % intervals that hold together for 6 differences)." in text, "three strengths on two axes"


def test_from_the_scale_on_that_gains_nothing_the_cost_is_still_told() -> None:
    found = said(error=0.2)
    assert "From scale 0.75 to scale 1 nothing is gained that these 2,000 questions can see: VQA accuracy" in found
    assert re.search(r"From scale 0.75 to scale 1 [^.]*(\.\d[^.]*)*; but drawing gets worse: FID \+\d", found)
    assert "From scale 0.5 to scale 0.75" not in found, "that step gains"
    assert "From base" not in found


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        (
            {"seeing": dict.fromkeys(SEEING, 0.3)},
            "gained nothing that these 2,000 questions can see",
            "of what it gained",
        ),
        (
            {"drawing": dict.fromkeys(DRAWING, 10.0)},
            "it draws neither better nor worse for certain: FID",
            "of the drawing",
        ),
        ({"drawing": {k: 40 - v for k, v in DRAWING.items()}}, "it draws better: FID −", "of the drawing"),
        ({"reliable": False}, "it has too few images for a finding in drawing", "of the drawing"),
        ({"seeing": {k: 0.6 - v for k, v in SEEING.items()}}, "so nothing was gained: VQA", "of what it gained"),
    ],
)
def test_no_share_is_told_of_what_is_not_certain(changes, there, absent) -> None:
    found = said(**changes)
    assert there in found
    assert absent not in found
    if "seeing" in changes:
        assert "finetuned keeps, of the drawing that scale 1 costs, " in found


def test_a_tolerance_gives_a_recommendation_or_that_none_fits() -> None:
    assert "No strength is recommended, since no tolerance is declared" in said()
    found = said({"margin_drawing": 6.0}, error=0.2, scales=TWO)
    assert (
        "Within the tolerance at guidance 1 and 2 (at most 6 of FID worse than base) scale 0.75 is recommended" in found
    )
    assert "also within it: scale 0.5; scale 1: beyond it for certain." in found
    none = said({"margin_drawing": 2.0, "margin_seeing": 0.05}, error=0.2)
    assert "at most 2 of FID worse than base and at most 5 points of VQA accuracy below full strength" in none
    assert "no strength is shown to lie; scale 0.5, scale 0.75 and scale 1: beyond it for certain." in none


def test_the_front_is_told_with_what_is_certain_of_it() -> None:
    found = said(error=0.1, seeing={math.nan: 0.1, 0.5: 0.5, 0.75: 0.3, 1.0: 0.7})
    assert (
        "On the Pareto front by the estimates: base, scale 0.5 and scale 1; not on it: scale 0.75; the intervals"
        in found
    )
    assert "leave no doubt of this" in found
    noisy = said(error=20.0, seeing=dict.fromkeys(SEEING, 0.3))
    assert "the intervals make it certain for none" in noisy


def test_one_point_is_singular() -> None:
    unit = seeing_unit("vqa_accuracy")
    assert unit.difference(0.012, -0.05, 0.06) == "+1 point [−5 to 6]"
    assert unit.difference(0.112, 0.05, 0.16) == "+11 points [5 to 16]"


def test_several_guidance_scales_share_a_sentence_where_they_agree() -> None:
    found = said(scales=TWO, error=0.2)
    assert found.count("At half strength") == 1
    kept = r"\d+ % \[[^]]*\]"
    both = rf"of the drawing that scale 1 costs, {kept} at guidance 1 and {kept} at guidance 2\."
    assert re.search(f"of what it gained and, {both}", found)


def draw(folder: Path, made: pd.DataFrame) -> list[Path]:
    exchange_figure(made, folder / "exchange")
    return [folder / f"exchange{ending}" for ending in (*FORMATS, "-data.csv")]


def test_the_figure_has_every_point_and_turns_the_axis_of_a_distance_round(tmp_path: Path) -> None:
    made = table({"margin_drawing": 6.0}, scales=TWO, error=0.2, steps={100.0: (0.2, 13.0)})
    files = draw(tmp_path, made)
    text = "\n".join(re.findall(r"<!-- (.*?) -->", files[0].read_text(), re.DOTALL))
    for word in (
        "guidance 1", "guidance 2", "base", "finetuned", "0.5", "0.75", "recommended", "Pareto front", "a note",
        "adapter scale", "training steps", "step 100", "drawing (up is better)", "FID difference from base",
        "VQA accuracy in", "+10",
    ):  # fmt: skip
        assert word in text, word
    plotted = pd.read_csv(files[-1])[["seeing"]]
    pd.testing.assert_frame_equal(plotted, made[["seeing"]].reset_index(drop=True), rtol=1e-8)
    before = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in draw(tmp_path, made)] == before


def test_the_page_has_the_section_near_its_top_with_sentences_figure_and_table() -> None:
    study, made = Study(), table({"margin_drawing": 6.0}, error=0.2)
    page = Page(study.html(exchange=made, exchange_svg=b"<svg xmlns='http://www.w3.org/2000/svg'/>"))
    text = words(page.text)
    for sentence in exchange_answer(made).statements:
        assert words(sentence) in text
    assert text.count(words(exchange_answer(made).headline)) == 2, "in the answer, and in the section"
    ids = [attributes["id"] for attributes in page.of("section") if "id" in attributes]
    assert ids.index("exchange") < ids.index("curve")
    assert "set against what it cost in drawing (FID, N = 400)" in text
    assert "Fieller's intervals (Fieller, 1954)" in text
    assert "fieller1954problems" in text
    assert "declared beforehand (at most 6 of FID worse than base)" in text
    assert "exchange" not in {attributes.get("id") for attributes in study.page().of("section")}


# -- another gain than seeing ----------------------------------------------------------------------------------------


def scored(**changes) -> pd.DataFrame:
    """Points whose gain is a score of the images, and the same at both guidance scales only by its truth."""
    made = points(TWO, error=0.2, **changes)
    axes = axes_of(task="PickScore", seeing_metric="pick", seeing_n=2000)
    return exchange_table([replace(each, seeing=copy.copy(each.seeing)) for each in made], axes, "base", Exchange())


def test_another_gain_is_told_in_its_own_words() -> None:
    made = scored()
    answer = exchange_answer(made)
    text = words("\n".join([answer.headline, *answer.statements, *answer.caveats]))
    gain = r"\+0\.\d+ \[[^]]*\]"
    assert re.match(
        rf"finetuned at scale 1 has a higher PickScore than base: PickScore {gain} at guidance 1 and {gain} at", text
    )
    assert "; it is further from the reference images: FID +1" in text
    assert "(95 % intervals that hold together for 12 differences)." in text, (
        "three strengths, two axes, two guidance scales"
    )
    kept = r"\d+ % \[[^]]*\]"
    assert re.search(
        rf"At half strength \(scale 0.5\) finetuned keeps {kept} at guidance 1 and {kept} at guidance 2 of what it gained and "
        rf"pays {kept} at guidance 1 and {kept} at guidance 2 of the FID that scale 1 costs\.",
        text,
    )
    assert "From scale 0.75 to scale 1 nothing is gained that these 2,000 images can show: PickScore" in text
    assert "; but the distance grows: FID +" in text
    assert "no judgement of people" in text
    assert not re.search(r"\b(sees?|seeing|draws|drawing|questions?)\b", text), (
        "nobody was asked, nothing is drawn badly"
    )


def test_a_gain_at_one_guidance_scale_alone_is_told_of_that_one() -> None:
    made = scored()
    at_two = made["guidance_scale"] == 2
    made.loc[at_two, "seeing_difference_low_simultaneous"] = -0.01
    text = words(exchange_answer(made).headline)
    assert re.match(
        r"finetuned at scale 1 has a higher PickScore than base: PickScore [^;]* at guidance 1; it gained nothing", text
    )
    assert re.search(
        r"gained nothing that these 2,000 images can show: PickScore [^;]* at guidance 2; it is further", text
    )


def test_the_page_names_the_gain_and_its_cost() -> None:
    page = words(Page(Study().html(exchange=scored(), exchange_svg=b"<svg xmlns='http://www.w3.org/2000/svg'/>")).text)
    assert (
        "What fine-tuning gained in PickScore (the images of 2,000 prompts, the same for every strength) was set"
        in page
    )
    assert "The exchange rate between gain and cost. Right: a higher PickScore" in page
    assert not re.search(r"\b(sees|[Ss]eeing|draws|[Dd]rawing)\b", page)
