"""Answers of other programs: their formats, and every fault in one clear line."""

import json

import pytest

from emudrift.data.answers import chosen_answers, load_answers
from emudrift.errors import InputError

FORMATS = {
    "ours.jsonl": '{"row": 0, "question_id": 7, "image_id": 3, "answer": "a cat"}\n{"question_id": 8, "answer": ""}\n',
    "vqa_results.json": json.dumps([{"question_id": 7, "answer": "a cat"}, {"question_id": 8, "answer": ""}]),
    # As lmms-eval logs samples: without keys that have "image" in them, with the right answer under `target`.
    "lmms_eval.jsonl": "".join(
        json.dumps(
            {
                "doc_id": place,
                "doc": {"question_id": question, "question": "What?", "answers": [{"answer": "dog"}]},
                "target": "dog",
                "resps": [[said + " \n"]],
                "filtered_resps": [said],
            }
        )
        + "\n"
        for place, (question, said) in enumerate([(7, "a cat"), (8, "")])
    ),
    "lmms_eval_02.json": json.dumps(
        {"logs": [{"doc": {"question_id": id_}, "resps": [[said]]} for id_, said in (("7", "a cat"), (8, ""))]}
    ),
    # VLMEvalKit's `answer` is the right one.
    "vlmevalkit.tsv": "index\tquestion\tanswer\tprediction\n7\tWhat, then?\tdog\ta cat\n8\tWhat?\tdog\t\n",
    "vlmevalkit.csv": "index,question,answer,prediction\n7,What?,dog,a cat\n8,What?,dog,\n",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_read(tmp_path, name):
    (tmp_path / name).write_text(FORMATS[name])
    assert load_answers([tmp_path / name], "question_id") == {7: "a cat", 8: ""}


def test_captions_are_read_by_image_also_where_the_id_is_a_file_name(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"image_id": 391895, "caption": "a man"}]))
    lmms = {"doc": {"question_id": "COCO_val2014_000000391895.jpg"}, "filtered_resps": [["a man"]]}
    (tmp_path / "b.jsonl").write_text(json.dumps(lmms))
    for name in ("a.json", "b.jsonl"):
        assert load_answers([tmp_path / name], "image_id") == {391895: "a man"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"answer": "x"}', "a.jsonl: line 1 has no 'question_id'; it has 'answer'"),
        ("a.jsonl", '{"question_id": "first", "answer": "x"}', "the id is 'first', not a whole number"),
        ("a.jsonl", '{"question_id": 1}', "line 1 has no answer; expected one of prediction"),
        ("a.jsonl", '{"question_id": 1, "resps": ["x", "y"]}', "'resps' is .*, not one answer as text"),
        ("a.jsonl", '{"question_id": 1, "answer": "x"}\n' * 2, "line 2: there is an earlier answer with question_id 1"),
        ("a.csv", "index,prediction\n1,Failed to obtain answer via API.", "VLMEvalKit got none here; run it again"),
        ("a.jsonl", "nonsense", "line 1 is not valid JSON"),
        ("a.xlsx", "", "save it as .csv, or have VLMEvalKit write tables as text: PRED_FORMAT=tsv"),
        ("a.txt", "", "a file of answers is needed: .jsonl, .json, .csv or .tsv, not .txt"),
    ],
)
def test_a_fault_is_named_with_file_and_entry(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        load_answers([tmp_path / name], "question_id")


def test_missing_answers_are_counted_and_named():
    assert chosen_answers({1: "a", 2: "b", 3: "c"}, [3, 1], "x") == ["c", "a"]
    with pytest.raises(InputError, match="x: 2 of 3 questions have no answer; first ids: 4, 5"):
        chosen_answers({1: "a"}, [1, 4, 5], "x")
