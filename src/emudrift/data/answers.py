"""Answers of models, as this workflow, lmms-eval, VLMEvalKit and the formats of COCO and VQA results have them."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from emudrift.data.csv_files import Rows, read_csv
from emudrift.data.input_files import refuse_no_file
from emudrift.data.json_input import list_of_objects, load_json, read_jsonl
from emudrift.errors import InputError

Id = Literal["question_id", "image_id"]

# What a model said. VLMEvalKit's `answer` is the right one, next to `prediction`: in this order, the first that is there.
_SAID = ("prediction", "filtered_resps", "resps", "caption", "answer")
_FAILED = "Failed to obtain answer"
"""What VLMEvalKit writes in place of an answer that a model did not give: no wrong answer, but none."""
_READ = "a file of answers is needed: .jsonl, .json, .csv or .tsv"


def load_answers(paths: Sequence[str | Path], by: Id) -> dict[int, str]:
    """Answers by question id, or captions by image id, from one or several files.

    Read are, one object or row each: `{"question_id" or "image_id", "answer" or "caption"}`, as this workflow writes them and
    as results of COCO and VQA have them; the samples that lmms-eval logs (`doc`, `filtered_resps`); and the predictions of
    VLMEvalKit (`prediction`, and `index`, which is taken for the id where there is no other).

    Raises:
        InputError: names file and entry: not such a file, no id, no answer, or an id that is there twice.
    """
    found: dict[int, str] = {}
    for path in map(Path, paths):
        for where, record in _rows(path):
            key = _id(record, by, where)
            if key in found:
                raise InputError(f"{where}: there is an earlier answer with {by} {key}; ids must be unique")
            found[key] = _said(record, where)
    return found


def chosen_answers(answers: dict[int, str], ids: Iterable[int], where: str) -> list[str]:
    """The answers with these ids, in order. Raises InputError where some are missing."""
    wanted = list(ids)
    missing = [each for each in wanted if each not in answers]
    if missing:
        first = ", ".join(map(str, missing[:5]))
        raise InputError(f"{where}: {len(missing):,} of {len(wanted):,} questions have no answer; first ids: {first}")
    return [answers[each] for each in wanted]


def _rows(path: Path) -> list[tuple[str, dict[str, Any]]]:
    refuse_no_file(path, _READ)
    ending = path.suffix.lower()
    rows: Rows
    if ending == ".jsonl":
        rows = read_jsonl(path)
    elif ending in (".csv", ".tsv"):
        rows = read_csv(path, "\t" if ending == ".tsv" else ",")
    elif ending == ".json":
        data = load_json(path, _READ)
        # lmms-eval up to 0.2 wrote one object with the samples under `logs`.
        records = data if isinstance(data, dict) else {"logs": data}
        return [
            (f"{path}: [{index}]", each)
            for index, each in enumerate(list_of_objects(records, "logs", path, may_be_empty=True))
        ]
    elif ending == ".xlsx":
        raise InputError(f"{path}: save it as .csv, or have VLMEvalKit write tables as text: PRED_FORMAT=tsv")
    else:
        raise InputError(f"{path}: {_READ}, not {ending or 'without an ending'}")
    return rows[1]


def _id(record: dict[str, Any], by: Id, where: str) -> int:
    doc = record.get("doc")
    places = [record, doc] if isinstance(doc, dict) else [record]
    keys = ("image_id", "question_id") if by == "image_id" else ("question_id",)
    values = [place[key] for key in keys for place in places if key in place]
    values += [record["index"]] if "index" in record else []
    if not values:
        raise InputError(f"{where} has no {' or '.join(map(repr, keys))}; it has {', '.join(map(repr, record))}")
    # An integer, or a name such as COCO_val2014_000000391895.jpg.
    digits = re.search(r"(\d+)(?:\.\w+)?\s*$", str(values[0]))
    if digits is None or isinstance(values[0], bool | float | list | dict):
        raise InputError(f"{where}: the id is {values[0]!r}, not a whole number, nor a name that ends with one")
    return int(digits[1])


def _said(record: dict[str, Any], where: str) -> str:
    for key in _SAID:
        if key in record:
            value = record[key]
            while isinstance(value, list) and len(value) == 1:
                value = value[0]
            if isinstance(value, int | float) and not isinstance(value, bool):
                value = str(value)
            if not isinstance(value, str):
                raise InputError(f"{where}: {key!r} is {str(value)[:80]!r}, not one answer as text")
            if key == "prediction" and value.startswith(_FAILED):
                raise InputError(
                    f"{where}: says {value!r}: VLMEvalKit got none here; run it again, for this question at least"
                )
            return value
    raise InputError(f"{where} has no answer; expected one of {', '.join(_SAID)}, found {', '.join(map(repr, record))}")
