"""What models see: scores of answers, tables with intervals that have the coverage they claim, and the exchanged pictures."""

import json
import sys

import numpy as np
import pytest
import scipy.stats
from conftest import ROOT, experiment, small_config
from score_records import record
from understanding_files import COLOURS, write_answers, write_captions, write_vqa

from emudrift.config.reader import parse_config
from emudrift.data.question_table import question_table, write_question_table
from emudrift.errors import InputError
from emudrift.evaluation.tables import UNDERSTANDING_COLUMNS, UNDERSTANDING_DIFFERENCE_COLUMNS, load_table, rows_of
from emudrift.evaluation.understanding.comparison import (
    MIN_IMAGES,
    understanding_differences,
    understanding_table,
    write_understanding_tables,
)
from emudrift.evaluation.understanding.files import write_scores
from emudrift.evaluation.understanding.record import load_scores
from emudrift.evaluation.understanding.vqa import vqa_accuracy

RIGHT = {image * 1000 + place: COLOURS[image % 5] for image in range(60) for place in range(3)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two models that bring their answers: one right in all, one that always says red, whatever the picture."""
    folder = tmp_path_factory.mktemp("answers")
    red = write_answers(folder / "red.jsonl", dict.fromkeys(RIGHT, "Red."))
    right = write_answers(folder / "right.jsonl", RIGHT)
    exchanged = write_answers(folder / "exchanged.jsonl", {key: RIGHT[(key + 1000) % 60000] for key in RIGHT})
    base, tuned = small_config()["models"]
    models = [base | {"answers": {"vqa": red, "vqa-control": red}}]
    models += [tuned | {"answers": {"vqa": right, "vqa-control": exchanged}}]
    task = write_vqa(folder) | {"number": 150}
    made = experiment(folder, understanding=[task], models=models, note="a test")
    made.paths = made.paths.__class__(folder / "results", folder / "resources")
    seeing = made.understanding
    write_question_table(seeing, seeing.tasks[0], question_table(seeing, seeing.tasks[0]))
    for file in seeing.score_files():
        write_scores(made, file.parent.name, file.stem)
    write_understanding_tables(made)
    return made


def test_scores_are_those_of_a_plain_loop_over_the_files(finished):
    folder = finished.paths.results.parent
    people = {
        each["question_id"]: [answer["answer"] for answer in each["answers"]]
        for each in json.loads((folder / "annotations.json").read_text())["annotations"]
    }
    scores = {(each.model, each.variant): each for each in load_scores(finished.understanding.score_files())}
    assert len(scores) == 4
    for (model, variant), found in scores.items():
        said = "red" if model == "base" else None
        assert found.n == 150
        assert found.images == len({each // 1000 for each in found.question_ids})
        for question, score in zip(found.question_ids, found.per_question, strict=True):
            shown = (question + 1000) % 60000 if variant == "vqa-control" else question
            assert score == vqa_accuracy(said or RIGHT[shown], people[question])
            matches = people[question].count(said or RIGHT[shown])
            assert score == pytest.approx([0, 0.3, 0.6, 0.9, 1][min(matches, 4)])


def test_tables_have_a_row_for_each_variant_and_say_who_does_not_look(finished):
    table = {
        (row.model, row.variant): row
        for row in rows_of(load_table(finished.paths.understanding_table, UNDERSTANDING_COLUMNS))
    }
    assert set(table) == {(m, v) for m in ("base", "finetuned") for v in ("vqa", "vqa-control")}
    blind, sees = table["base", "vqa"], table["finetuned", "vqa"]
    assert (blind.pictures, blind.same_answers, blind.picture_effect) == ("ignored", 1, 0)
    assert sees.pictures == "used"
    assert sees.picture_effect == pytest.approx(sees.value - sees.control)
    assert sees.picture_effect_low > 0.5
    assert sees.control == table["finetuned", "vqa-control"].value
    assert table["base", "vqa-control"].pictures == ""
    (row,) = rows_of(load_table(finished.paths.understanding_differences, UNDERSTANDING_DIFFERENCE_COLUMNS))
    assert (row.baseline, row.model, row.variant, row.finding, row.note) == (
        "base",
        "finetuned",
        "vqa",
        "better",
        "a test",
    )
    assert row.difference == pytest.approx(sees.value - blind.value)


def test_differences_are_paired_and_hold_together_over_tasks_and_models():
    drawn = np.random.default_rng(0)
    shared = drawn.random(400)
    records = [
        record("base", shared),
        record("one", shared + drawn.normal(0.01, 0.05, 400)),
        record("two", shared - 0.2 + drawn.normal(0, 0.05, 400)),
        record("base", shared, task="b", variant="b"),
        record("two", shared, task="b", variant="b-4shots"),  # No such variant of the baseline: not compared.
        record("two", shared + drawn.normal(0, 0.05, 400), task="b", variant="b"),
    ]
    rows = rows_of(understanding_differences(records, "base", "note"))
    assert [(row.model, row.variant) for row in rows] == [("one", "vqa"), ("two", "vqa"), ("two", "b")]
    for row, ours, theirs in zip(
        rows, (records[1], records[2], records[5]), (records[0], records[0], records[3]), strict=True
    ):
        difference = np.subtract(ours.per_question, theirs.per_question)
        oracle = scipy.stats.ttest_1samp(difference, 0)
        assert (row.difference, row.p) == pytest.approx((difference.mean(), oracle.pvalue))
        assert (row.low, row.high) == pytest.approx(tuple(oracle.confidence_interval(0.95)))
        together = oracle.confidence_interval(1 - 0.05 / 3)
        assert (row.low_simultaneous, row.high_simultaneous) == pytest.approx(tuple(together))
        assert row.p_adjusted == pytest.approx(min(3 * oracle.pvalue, 1))
        # One interval and one finding: they cannot disagree.
        assert row.finding == (
            "better" if row.low_simultaneous > 0 else "worse" if row.high_simultaneous < 0 else "inconclusive"
        )
    assert [row.finding for row in rows] == ["better", "worse", "inconclusive"]


def test_questions_of_one_image_count_as_one_observation():
    """20 copies of each image's question must not make the interval narrower than that of the images."""
    drawn = np.random.default_rng(1)
    base, ours = drawn.random(80), drawn.random(80)
    single = rows_of(understanding_differences([record("base", base), record("one", ours)], "base"))[0]
    groups = np.repeat(np.arange(80), 20)
    copied = [record(name, np.repeat(values, 20), groups) for name, values in (("base", base), ("one", ours))]
    many = rows_of(understanding_differences(copied, "base"))[0]
    assert (many.n, many.images) == (1600, 80)
    assert (many.low, many.high) == pytest.approx((single.low, single.high))
    # The jackknife over images gives the same error.
    difference = ours - base
    without = (difference.sum() - difference) / 79
    assert single.standard_error == pytest.approx(np.sqrt(79 / 80 * np.sum((without - without.mean()) ** 2)))


def test_nothing_is_found_with_few_images_or_where_models_agree():
    few = [record("base", np.zeros(MIN_IMAGES - 1)), record("one", np.ones(MIN_IMAGES - 1))]
    assert rows_of(understanding_differences(few, "base"))[0].finding == "too few images"
    same = [record("base", np.ones(100)), record("one", np.ones(100))]
    row = rows_of(understanding_differences(same, "base"))[0]
    assert (row.difference, row.p, row.finding) == (0, 1, "inconclusive")


def test_intervals_stay_within_what_a_score_can_be():
    row = rows_of(understanding_table([record("base", [1, 1, 1, 1, 0.6])]))[0]
    assert row.high == 1
    assert row.low > 0.5


@pytest.mark.parametrize(
    ("score", "control", "same", "said"),
    [
        (0.5, 0.5, 1.0, "ignored"),
        (0.5, 0.5, 0.4, "no use found"),
        (0.6, 0.3, 0.4, "used"),
        (0.6, 0.3, 0.97, "used"),  # Few answers change, and for the better: it looks.
        (0.3, 0.6, 0.4, "no use found"),
    ],
)
def test_a_model_that_does_not_look_is_told_from_one_that_does(score, control, same, said):
    drawn = np.random.default_rng(2)
    answers = ["yes"] * 200
    other = ["yes" if place < 200 * same else "no" for place in range(200)]
    with_pictures, without = (drawn.random(200) < each for each in (score, control))
    if score == control:
        without = with_pictures
    records = [
        record("m", with_pictures, answers=answers),
        record("m", without, answers=other, variant="vqa-control", control=True),
    ]
    row = rows_of(understanding_table(records))[0]
    assert (row.pictures, row.same_answers) == (said, pytest.approx(same))


def test_a_control_belongs_to_the_variant_that_it_is_named_after():
    """Not to one with other examples before the question, although that is the only other one."""
    records = [
        record("m", np.ones(60), variant="vqa-2shots"),
        record("m", np.zeros(60), variant="vqa-control", control=True),
    ]
    assert [row.pictures for row in rows_of(understanding_table(records))] == ["", ""]


def test_answers_to_different_questions_are_not_compared():
    records = [record("base", np.ones(60)), record("one", np.ones(60), question_ids=list(range(1, 61)))]
    with pytest.raises(InputError, match="base-0a and one-0a answered different questions of vqa"):
        understanding_differences(records, "base")


def test_a_missing_answer_is_named(finished, tmp_path):
    folder = finished.paths.results.parent
    file = folder / "right.jsonl"
    content = file.read_text()
    seeing = finished.understanding
    arm, variant = seeing.arms()[1], seeing.variants()[0]
    scored = load_scores([finished.paths.answer_scores(arm.name, variant.name)])[0].question_ids
    try:
        kept = [line for line in content.splitlines() if json.loads(line)["question_id"] != scored[0]]
        file.write_text("\n".join(kept))
        with pytest.raises(InputError, match=f"1 of 150 questions have no answer; first ids: {scored[0]}"):
            write_scores(finished, arm.name, variant.name)
    finally:
        file.write_text(content)


def test_variants_and_arms_follow_from_the_config_and_fingerprints_from_what_changes_an_answer(tmp_path):
    task = write_vqa(tmp_path, images=2) | {"shots": [0, 4], "text_only": True}

    def names(**changes):
        return [each.name for each in experiment(tmp_path, understanding=[task | changes]).understanding.variants()]

    labels = ["vqa", "vqa-4shots", "vqa-textonly", "vqa-control"]
    assert [name.rpartition("-")[0] for name in names()] == labels
    assert names(number=100, shard_size=7) == names()
    for change in ({"prompt": "{question}"}, {"max_new_tokens": 5}, {"image_area": 4096}, {"seed": 1}):
        assert not set(names(**change)) & set(names())
    seeing = experiment(tmp_path, understanding=[task | {"number": 2500}]).understanding
    assert [arm.label for arm in seeing.arms()] == ["base", "finetuned"]
    assert [shard.name for shard in seeing.shards(seeing.tasks[0])] == [
        "000000-001000",
        "001000-002000",
        "002000-003000",
    ]
    assert len(seeing.score_files()) == 8
    assert experiment(tmp_path).understanding.arms() == []
    assert experiment(tmp_path).understanding.score_files() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "vqe"}, r"understanding: \[0\]: task: 'vqe' is unknown; one of caption, vqa"),
        ({"shot": [1]}, r"understanding: \[0\]: shot: unknown key; did you mean 'shots'"),
        ({"shots": [2, 2]}, r"\[0\]: shots: a number is given more than once"),
        ({"prompt": "what?"}, r"prompt: needs \{question\}, which stands for the question"),
        ({"file_names": "x.jpg"}, r"file_names: 'x.jpg' has no \{image_id\}"),
        ({"name": "a/b"}, r"understanding: \[0\]: name: 'a/b' is used in file names"),
    ],
)
def test_a_fault_in_the_config_is_named_with_its_key(tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        parse_config(small_config(understanding=[write_vqa(tmp_path, images=2) | changes]), "c.yaml")


def test_names_and_answers_that_fit_nothing_are_refused(tmp_path):
    task = write_vqa(tmp_path, images=2)
    with pytest.raises(InputError, match="two tasks or variants are named vqa-control; each must be unique"):
        parse_config(small_config(understanding=[task, task | {"name": "vqa-control", "control": False}]), "c.yaml")
    base, tuned = small_config()["models"]
    models = [base | {"answers": {"vqa-2shots": "x.jsonl"}}, tuned]
    with pytest.raises(
        InputError, match="models: base: answers: 'vqa-2shots' is no variant .* there are vqa, vqa-control"
    ):
        parse_config(small_config(understanding=[task], models=models), "c.yaml")


@pytest.fixture
def script(monkeypatch):
    """Runs a script in this process, as its own program would."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        __import__(name).main()

    return run


def test_answers_of_any_program_are_scored_without_an_experiment(tmp_path, script):
    task = write_vqa(tmp_path)
    ours, theirs = (tmp_path / name for name in ("ours.jsonl", "theirs.jsonl"))
    write_answers(ours, RIGHT | dict.fromkeys([0, 1000, 5001], "a zebra"))
    write_answers(theirs, dict.fromkeys(RIGHT, "red"))
    common = ["--answers", ours, "--baseline", theirs, "--output", tmp_path / "out.json"]
    script("score_vqa", "--questions", task["questions"], "--annotations", task["annotations"], *common)
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["metric"], found["n"], found["images"]) == ("vqa_accuracy", 180, 60)
    assert found["value"] == pytest.approx(np.mean(list(found["per_question"].values())))
    assert found["difference"]["value"] == pytest.approx(found["value"] - found["baseline"]["value"])
    assert found["low"] < found["value"] < found["high"]
    task = write_captions(tmp_path)
    captions = [{"image_id": image, "caption": f"a {COLOURS[image % 5]} thing number {image}"} for image in range(30)]
    (tmp_path / "captions_of_a_model.json").write_text(json.dumps(captions))
    common = ["--answers", tmp_path / "captions_of_a_model.json", "--output", tmp_path / "out.json"]
    script("score_captions", "--references", task["captions"], *common)
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["metric"], found["n"], found["references"]) == ("cider", 30, 60)
    # Scored alone they get the same: document frequencies are those of all references.
    few = tmp_path / "few.json"
    few.write_text(json.dumps(captions[:5]))
    script("score_captions", "--references", task["captions"], "--answers", few, "--output", tmp_path / "few_out.json")
    assert json.loads((tmp_path / "few_out.json").read_text())["per_question"] == {
        key: found["per_question"][key] for key in map(str, range(5))
    }
