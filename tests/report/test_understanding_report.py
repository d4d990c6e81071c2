"""What the page says of models that are asked about pictures: who looks, and what was bought, in numbers of the tables."""

import numpy as np
import pandas as pd
import pytest
from conftest import experiment
from pages import Study, words
from score_records import record
from understanding_files import write_captions, write_vqa

from emudrift.evaluation.understanding.comparison import understanding_differences, understanding_table
from emudrift.report.sections.citations import CITATIONS
from emudrift.report.sections.understanding import picture_statements, understanding_methods, understanding_tables

DRAWN = np.random.default_rng(0)
N = 400
RIGHT, WRONG = np.ones(N), np.zeros(N)


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """base always says yes, guesses says something else without looking, finetuned looks."""
    prior = (DRAWN.random(N) < 0.3).astype(float)
    sees = np.where(DRAWN.random(N) < 0.5, RIGHT, prior)
    other = ["no" if place % 2 else "yes" for place in range(N)]
    records = [
        record("base", prior),
        record("base", prior, variant="vqa-control", control=True),
        record("guesses", prior),
        record("guesses", DRAWN.permutation(prior), answers=other, variant="vqa-control", control=True),
        record("finetuned", sees),
        record("finetuned", prior, answers=other, variant="vqa-control", control=True),
    ]
    return understanding_table(records), understanding_differences(records, "base")


def test_a_model_that_does_not_look_is_told_so_in_words():
    table, _ = tables()
    base, guesses, finetuned = map(words, picture_statements(table))
    row = table[(table["model"] == "finetuned") & (table["variant"] == "vqa")].iloc[0]
    assert base.startswith("base: answers do not depend on the picture. In vqa, 100 % of them are the same")
    assert guesses.startswith("guesses: answers are not shown to depend on the picture.")
    assert (
        f"of its VQA accuracy of {100 * row['value']:.3g} % in vqa, {100 * row['control']:.3g} % remains" in finetuned
    )
    assert f"the pictures add +{100 * row['picture_effect']:.1f} points [" in finetuned


def test_the_page_has_a_section_where_models_see_and_none_where_they_do_not():
    table, differences = tables()
    study = Study()
    page = study.page(understanding=table, understanding_differences=differences)
    text = words(page.text)
    assert "base: answers do not depend on the picture" in text
    assert "What fine-tuning bought" in text
    assert "understanding" in {attributes.get("id") for attributes in page.of("section")}
    assert "understanding" not in {attributes.get("id") for attributes in study.page().of("section")}


def test_cells_are_those_of_the_tables():
    table, differences = tables()
    scores, bought = understanding_tables(table, differences)
    assert [row[0].text for row in scores.rows] == list(table["model"])
    assert [row[4].value for row in scores.rows] == pytest.approx(list(table["value"]))
    assert [row[5].text == "–" for row in scores.rows] == [False, True] * 3
    row = differences[differences["model"] == "finetuned"].iloc[0]
    cell = bought.rows[1]
    assert cell[0].text == "finetuned − base"
    assert (cell[4].value, cell[5].text) == (row["difference"], "better")
    assert f"[{100 * row['low']:.1f} to" in cell[4].small
    assert len(understanding_tables(table, differences.head(0))) == 1


def test_the_methods_paragraph_says_what_was_asked_and_cites_what_scored_it(tmp_path):
    tasks = [write_vqa(tmp_path, images=4) | {"number": 8}, write_captions(tmp_path, images=4) | {"number": 4}]
    asked = experiment(tmp_path, understanding=tasks)
    said = understanding_methods(asked)
    assert "8 questions of" in said
    assert "“[question] Answer the question using a single word or phrase.”" in said
    assert "captions of 4 images of" in said
    assert "pictures exchanged" in said
    for paper in ("Vedantam et al., 2015", "Antol et al., 2015"):
        assert f"({paper})" in said
        assert paper in CITATIONS
