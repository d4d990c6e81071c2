"""Question tables: readers, nested subsets, exchanged pictures, examples; and every fault in one clear line."""

import hashlib
import json

import pytest
from conftest import experiment
from understanding_files import write_captions, write_pictures, write_vqa

from emudrift.data.question_table import check_pictures, question_table, write_question_table
from emudrift.data.questions import load_questions, load_references, load_support
from emudrift.errors import InputError


def made(folder, **task):
    """The understanding of a small experiment with one task, the task, and its table."""
    understanding = experiment(folder, understanding=[task]).understanding
    return understanding, understanding.tasks[0], question_table(understanding, understanding.tasks[0])


def test_questions_are_in_the_documented_order_and_subsets_are_nested(tmp_path):
    task = write_vqa(tmp_path)
    few, many = (made(tmp_path, **task, number=number)[2] for number in (10, 100))
    assert few.questions == many.questions
    asked = [each for each in many.questions if each.image_id not in {e.image_id for e in many.support.examples}]
    order = sorted(
        (each.question_id for each in asked), key=lambda i: hashlib.sha256(f"question/0/{i}".encode()).digest()
    )
    assert [each.question_id for each in many.questions][: len(order)] == order
    assert [each.row for each in many.questions] == list(range(180))
    other = made(tmp_path, **task, number=10, seed=1)[2]
    assert [each.question_id for each in other.questions] != [each.question_id for each in few.questions]


def test_no_picture_stays_when_they_are_exchanged_and_each_is_shown_once_for_every_image(tmp_path):
    table = made(tmp_path, **write_vqa(tmp_path), number=10)[2]
    to = {each.image_id: each.control_image_id for each in table.questions}
    assert all(image != other for image, other in to.items())
    assert sorted(to) == sorted(to.values())
    assert all(to[each.image_id] == each.control_image_id for each in table.questions)
    assert all(each.control_file_name == f"COCO_val2014_{each.control_image_id:012d}.jpg" for each in table.questions)
    assert {each.picture(True) for each in table.questions} == {each.picture(False) for each in table.questions}


def test_examples_are_of_images_that_no_question_is_about_and_fewer_are_the_first_of_more(tmp_path):
    table = made(tmp_path, **write_vqa(tmp_path), number=162, shots=[0, 2, 4])[2]
    examples = table.support.examples
    assert len(examples) == 6
    assert not {each.image_id for each in examples} & {each.image_id for each in table.questions[:162]}
    for question in table.questions[:5]:
        four = table.support.examples_for(question.question_id, 4)
        assert len({each.question_id for each in four}) == 4
        assert table.support.examples_for(question.question_id, 2) == four[:2]
    drawn = {tuple(e.question_id for e in table.support.examples_for(q.question_id, 2)) for q in table.questions}
    assert len(drawn) > 10
    with pytest.raises(InputError, match="162 questions are left of which 163 are asked; set number: 162 or less"):
        made(tmp_path, **write_vqa(tmp_path), number=163, shots=[2])
    with pytest.raises(InputError, match="shots: 8 examples are asked for, and there are 6 images"):
        made(tmp_path, **write_vqa(tmp_path), number=10, shots=[8])


def test_what_is_written_is_read_back_and_written_again_to_the_same_bytes(tmp_path):
    understanding, task, table = made(tmp_path, **write_captions(tmp_path), number=20)
    understanding.experiment.paths = understanding.experiment.paths.__class__(tmp_path / "r", tmp_path / "s")
    files = [understanding.questions(task), understanding.references(task), understanding.support(task)]
    write_question_table(understanding, task, table)
    before = [file.read_bytes() for file in files]
    write_question_table(understanding, task, table)
    assert [file.read_bytes() for file in files] == before
    assert load_questions(files[0]) == table.questions
    assert load_questions(files[0], 20) == table.questions[:20]
    assert load_references(files[1]) == table.references
    assert load_support(files[2]) == table.support
    assert len(table.references) == 60
    assert table.references[7] == [f"A green thing number 7, seen {place}." for place in range(5)]
    with pytest.raises(InputError, match="there are 60 questions, and 61 are asked; set number: 60 or less"):
        load_questions(files[0], 61)


def test_karpathy_and_vizwiz_are_read(tmp_path):
    images = [
        {
            "imgid": number,
            "filename": f"{number}.jpg",
            "split": "test" if number % 2 else "train",
            "sentences": [{"sentid": number * 10 + s, "raw": f"caption {number} {s}"} for s in range(5)],
        }
        for number in range(20)
    ]
    (tmp_path / "flickr.json").write_text(json.dumps({"images": images}))
    pictures = str(write_pictures(tmp_path / "p", ["v0.jpg"]))
    task = {"task": "caption", "name": "c", "images": pictures, "captions": str(tmp_path / "flickr.json")}
    table = made(tmp_path, **task, source="karpathy", splits=["test"], number=10)[2]
    assert sorted(each.image_id for each in table.questions) == list(range(1, 20, 2))
    vizwiz = [
        {"image": f"v{n // 2}.jpg", "question": "What?", "answers": [{"answer": "a cat"}] * 9 + [{"answer": "dog"}]}
        for n in range(8)
    ]
    (tmp_path / "v.json").write_text(json.dumps(vizwiz))
    task = {"task": "vqa", "name": "v", "images": pictures, "questions": str(tmp_path / "v.json")}
    understanding, settings, table = made(tmp_path, **task, number=8)
    assert sorted(each.question_id for each in table.questions) == list(range(8))
    assert {each.question_id: each.file_name for each in table.questions}[5] == "v2.jpg"
    assert table.references[0] == ["a cat"] * 9 + ["dog"]
    with pytest.raises(InputError, match=r"3 of 4 pictures are missing in .*; first: v\d.jpg"):
        check_pictures(understanding, settings, table)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda q, a: q["questions"][1].pop("question"), r"questions\[1\] has no 'question'"),
        (lambda q, a: q["questions"][1].update(question_id=0), r"questions\[1\]: 'question_id' is 0, as in an earlier"),
        (
            lambda q, a: a["annotations"].pop(0),
            r"questions\[0\]: there is no answer to its question_id 0 in .*annotations",
        ),
        (
            lambda q, a: a["annotations"][2]["answers"][3].pop("answer"),
            r"annotations\[2\].answers\[3\] has no 'answer'",
        ),
        (lambda q, a: a["annotations"][0].update(answers=[]), r"annotations\[0\]: 'answers' is empty"),
        (lambda q, a: a["annotations"][0].update(answers=[{"answer": "x"}]), r"\[0\]: the answer of one person"),
        (lambda q, a: q.pop("questions"), "has no 'questions'"),
    ],
)
def test_a_fault_in_the_files_is_named_with_its_entry(tmp_path, change, said):
    task = write_vqa(tmp_path, images=10)
    questions, annotations = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("questions", "annotations")
    )
    change(questions, annotations)
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    with pytest.raises(InputError, match=said):
        made(tmp_path, **task, number=10)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    task = write_vqa(tmp_path, images=10)
    with pytest.raises(InputError, match="there are 30 questions, and 2,000 are asked; set number: 30 or less"):
        made(tmp_path, **task)
    with pytest.raises(InputError, match="has no answers: give the file of annotations as well"):
        made(tmp_path, **{key: value for key, value in task.items() if key != "annotations"}, number=10)
    (tmp_path / "v.json").write_text("[]")
    with pytest.raises(InputError, match="leave out annotations"):
        made(tmp_path, **task | {"questions": str(tmp_path / "v.json")}, number=10)
