"""Building a question table: readers of VQA v2, OK-VQA, VizWiz and captions, the order of questions, exchanged pictures."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emudrift.config.seeing import Understanding
from emudrift.config.understanding import CaptionTask, UnderstandingTask, VqaTask
from emudrift.data.captions import load_coco, load_karpathy, normalise_caption
from emudrift.data.image_sources import scan_reference_images
from emudrift.data.input_files import inside
from emudrift.data.json_input import integer, list_of_objects, load_json, text_of, unique, value_of
from emudrift.data.questions import SCHEMA, Example, Question, References, Support, pictures_of, refuse_too_few
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import atomic_path
from emudrift.runtime.json_files import write_json

SUPPORT = 100
"""Images at most whose questions are kept for examples; a tenth of all where there are fewer than 1,000."""
COCO_NAMES = "COCO_{split}_{image_id:012d}.jpg"


@dataclass(frozen=True)
class Asked:
    """One question with what people answered, as a file has it; `where` identifies it in error messages."""

    where: str
    question_id: int
    image_id: int
    file_name: str
    question: str
    references: list[str]


@dataclass(frozen=True)
class QuestionTable:
    """What a task asks, in row order, with all references and the examples."""

    questions: list[Question]
    references: dict[int, list[str]]
    support: Support


def question_table(understanding: Understanding, task: UnderstandingTask) -> QuestionTable:
    """The table of a task of an experiment. Raises InputError as `read_asked` does, and where fewer questions are there."""
    files = {key: [understanding.experiment.path(file) for file in named] for key, named in task.files().items()}
    table = order_questions(read_asked(task, files), understanding.seed(task))
    first = next(path for named in files.values() for path in named)
    refuse_too_few(len(table.questions), task.asked, first)
    most = max(settings["shots"] for _, settings in task.variants())
    examples = table.support.examples
    if most:
        table.support.examples_for(0, most)
        kept = {example.image_id for example in examples}
        free = next((row for row, each in enumerate(table.questions) if each.image_id in kept), len(table.questions))
        if free < task.asked:
            raise InputError(
                f"{first}: with shots, {len(kept)} images are kept for examples, and {free:,} questions are left of which "
                f"{task.asked:,} are asked; set number: {free} or less"
            )
    return table


def read_asked(task: UnderstandingTask, files: dict[str, list[Path]]) -> list[Asked]:
    """All questions of a task's files.

    Raises:
        InputError: names file and entry: not such a file, something missing, an id that is not unique or belongs to nothing.
    """
    if isinstance(task, CaptionTask):
        return list(_read_captions(task, files["captions"][0]))
    assert isinstance(task, VqaTask)
    found = list(_read_vqa(task, files["questions"][0], files["annotations"]))
    if not found:
        raise InputError(f"{files['questions'][0]}: there is no question in it")
    return found


def _read_captions(task: CaptionTask, path: Path) -> Iterable[Asked]:
    images = load_coco(path) if task.source == "coco" else load_karpathy(path, task.splits)
    for image in images:
        captions = [normalise_caption(text) for _, text in sorted(image.captions)]
        captions = [text for text in captions if text]
        if not captions:
            raise InputError(f"{image.where} has no caption, or only empty ones: give it a caption, or leave it out")
        yield Asked(image.where, image.image_id, image.image_id, image.file_name, "", captions)


def _read_vqa(task: VqaTask, path: Path, annotations: Sequence[Path]) -> Iterable[Asked]:
    data = load_json(path, "a JSON file with questions is needed")
    if isinstance(data, list):
        if annotations:
            raise InputError(f"{path} is a list, as VizWiz has it, with the answers in it: leave out annotations")
        yield from _read_vizwiz(path, list_of_objects({"questions": data}, "questions", path))
        return
    if not isinstance(data, dict):
        raise InputError(f"{path} contains {type(data).__name__}, not an object with 'questions', nor a list of VizWiz")
    if not annotations:
        raise InputError(f"{path} has no answers: give the file of annotations as well")
    answers = _read_annotations(annotations[0])
    form, seen = task.file_names or _coco_names(data), set[int]()
    for index, record in enumerate(list_of_objects(data, "questions", path)):
        where = f"{path}: questions[{index}]"
        question_id, image_id = unique(record, "question_id", where, seen), integer(record, "image_id", where)
        if question_id not in answers:
            raise InputError(f"{where}: there is no answer to its question_id {question_id} in {annotations[0]}")
        name = inside(form.format(image_id=image_id), where)
        yield Asked(where, question_id, image_id, name, text_of(record, "question", where), answers[question_id])


def _coco_names(data: dict[str, Any]) -> str:
    """The names that COCO's pictures have in the split of the questions: COCO_val2014_000000000042.jpg."""
    split = data.get("data_subtype")
    return COCO_NAMES.replace("{split}", split if isinstance(split, str) and split else "val2014")


def _read_annotations(path: Path) -> dict[int, list[str]]:
    data = load_json(path, "a JSON file with the answers of people is needed")
    if not isinstance(data, dict):
        raise InputError(f"{path} contains {type(data).__name__}, not an object with 'annotations'")
    found: dict[int, list[str]] = {}
    seen = set[int]()
    for index, record in enumerate(list_of_objects(data, "annotations", path)):
        where = f"{path}: annotations[{index}]"
        found[unique(record, "question_id", where, seen)] = _answers(record, where)
    return found


def _answers(record: dict[str, Any], where: str) -> list[str]:
    """Of ten people, mostly. Raises InputError for fewer than two: the official accuracy leaves one of them out."""
    answers = [
        text_of(answer, "answer", f"{where}.answers[{place}]")
        for place, answer in enumerate(list_of_objects(record, "answers", where))
    ]
    if len(answers) < 2:
        raise InputError(
            f"{where}: the answer of one person; the official accuracy needs those of two or more (mostly ten)"
        )
    return answers


def _read_vizwiz(path: Path, records: Sequence[dict[str, Any]]) -> Iterable[Asked]:
    """Question ids are places in the list; pictures are numbered in the order in which they come."""
    numbers: dict[str, int] = {}
    for index, record in enumerate(records):
        where = f"{path}: [{index}]"
        name = inside(text_of(record, "image", where), where)
        image_id = numbers.setdefault(name, len(numbers))
        if "answers" not in record:
            value_of(record, "answers", f"{where} (a test split, whose answers are secret, cannot be scored)")
        yield Asked(where, index, image_id, name, text_of(record, "question", where), _answers(record, where))


def order_questions(asked: Sequence[Asked], seed: int) -> QuestionTable:
    """The questions in a random order drawn from the seed, so that the first N are nested random subsets for growing N.

    Rows are sorted by sha256("question/{seed}/{question_id}"), those of the images kept for examples last. Kept are the last
    images by sha256("image/{seed}/{image_id}"); in the same order each image is exchanged with the next one, the last with the
    first: no image stays, and each is shown to as many images as before.

    Raises InputError for fewer than two images, or an image with two file names.
    """
    names: dict[int, str] = {}
    for each in asked:
        if names.setdefault(each.image_id, each.file_name) != each.file_name:
            raise InputError(f"{each.where}: another entry with image id {each.image_id} has a different file name")
    images = sorted(names, key=lambda image_id: _digest(f"image/{seed}/{image_id}"))
    if len(images) < 2:
        raise InputError(f"{asked[0].where}: it is about the only image; at least two are needed")
    exchanged = dict(zip(images, [*images[1:], images[0]], strict=True))
    kept = images[len(images) - min(SUPPORT, len(images) // 10) :]
    late = set(kept)
    ordered = sorted(asked, key=lambda each: (each.image_id in late, _digest(f"question/{seed}/{each.question_id}")))
    questions = [
        Question(
            row,
            each.question_id,
            each.image_id,
            each.file_name,
            each.question,
            exchanged[each.image_id],
            names[exchanged[each.image_id]],
        )
        for row, each in enumerate(ordered)
    ]
    first = {each.image_id: each for each in reversed(ordered)}
    examples = [
        Example(
            question_id=each.question_id,
            image_id=each.image_id,
            file_name=each.file_name,
            question=each.question,
            answer=Counter(each.references).most_common(1)[0][0],
        )
        for each in (first[image_id] for image_id in kept)
    ]
    references = {each.question_id: each.references for each in asked}
    return QuestionTable(questions, references, Support(seed=seed, examples=examples))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def check_pictures(understanding: Understanding, task: UnderstandingTask, table: QuestionTable) -> None:
    """Raises InputError where pictures that the task shows are missing in its folder or archive."""
    source = understanding.experiment.path(task.images)
    asked = table.questions[: task.asked]
    examples = table.support.examples if any(settings["shots"] for _, settings in task.variants()) else []
    wanted = pictures_of(asked, examples, control=False) + (
        pictures_of(asked, [], control=True) if task.control else []
    )
    there = set(scan_reference_images(source))
    missing = [name for name in dict.fromkeys(wanted) if name not in there]
    if missing:
        first = ", ".join(missing[:5])
        raise InputError(f"{len(missing):,} of {len(set(wanted)):,} pictures are missing in {source}; first: {first}")


def write_question_table(understanding: Understanding, task: UnderstandingTask, table: QuestionTable) -> None:
    """Atomically writes questions.parquet, references.json and support.json; equal tables give identical bytes."""
    content = [question.__dict__ for question in table.questions]
    with atomic_path(understanding.questions(task), checksum=True) as temporary:
        pq.write_table(pa.Table.from_pylist(content, schema=SCHEMA), temporary)
    write_json(understanding.references(task), References(references=table.references).model_dump(mode="json"))
    write_json(understanding.support(task), json.loads(table.support.model_dump_json()))
