"""Questions about pictures on the disk: the question table, the references of people, and examples to show before a question."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from emudrift.data.input_files import read_parquet, refuse_no_file
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import check_sha256
from emudrift.runtime.json_files import load_record

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("question_id", pa.int64(), nullable=False),
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("file_name", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("control_image_id", pa.int64(), nullable=False),
        pa.field("control_file_name", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Question:
    """One row of the question table. `question` is "" for captions, whose question_id is the image's.

    `control_*`: another picture of the dataset, for the variant whose pictures are exchanged.
    """

    row: int
    question_id: int
    image_id: int
    file_name: str
    question: str
    control_image_id: int
    control_file_name: str

    def picture(self, control: bool) -> str:
        """File name of the picture that is shown."""
        return self.control_file_name if control else self.file_name


class Example(BaseModel):
    """A question with its answer that can be shown before another question."""

    model_config = ConfigDict(frozen=True)

    question_id: int
    image_id: int
    file_name: str
    question: str
    answer: str


class Support(BaseModel):
    """Content of support.json: examples of images that no question is about."""

    model_config = ConfigDict(frozen=True)

    seed: int
    examples: list[Example]

    def examples_for(self, question_id: int, shots: int) -> list[Example]:
        """`shots` different examples, drawn for a question by the seed: the same for all arms, fewer the first of more.

        Raises InputError where there are fewer examples.
        """
        if shots > len(self.examples):
            raise InputError(
                f"shots: {shots} examples are asked for, and there are {len(self.examples)} images that no question is about"
            )
        chosen: dict[int, None] = {}
        draw = 0
        while len(chosen) < shots:
            text = f"shots/{self.seed}/{question_id}/{draw}"
            chosen.setdefault(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % len(self.examples))
            draw += 1
        return [self.examples[place] for place in chosen]


class References(BaseModel):
    """Content of references.json: by question id, captions of the image or answers of people.

    They are those of all questions of the files, asked or not: the document frequencies of CIDEr-D are taken from all of them.
    """

    model_config = ConfigDict(frozen=True)

    references: dict[int, list[str]]


REMEDY = "it is created by the rule questions; remove it and run again"


def load_questions(path: str | Path, number: int | None = None) -> list[Question]:
    """The first `number` questions (default: all), in row order.

    Raises InputError if the file is missing, is no question table, or has fewer rows.
    """
    path = Path(path)
    refuse_no_file(path, "it is created by the rule questions")
    check_sha256(path)
    table = read_parquet(path)
    if not table.schema.remove_metadata().equals(SCHEMA):
        raise InputError(
            f"{path} is not a question table: it has the columns {', '.join(table.column_names)}; {REMEDY}"
        )
    refuse_too_few(len(table), number, path)
    return [Question(**record) for record in table.slice(0, number).to_pylist()]


def refuse_too_few(there: int, number: int | None, path: str | Path) -> None:
    """Raises InputError where more questions are asked for than there are."""
    if number is not None and number > there:
        raise InputError(
            f"{path}: there are {there:,} questions, and {number:,} are asked; set number: {there} or less"
        )


def load_support(path: str | Path) -> Support:
    """Raises InputError, naming file and key, where it holds no examples."""
    return load_record(path, Support, REMEDY)


def load_references(path: str | Path) -> dict[int, list[str]]:
    """By question id. Raises InputError, naming file and key, where it holds no references."""
    return load_record(path, References, REMEDY).references


def pictures_of(questions: Sequence[Question], examples: Sequence[Example], control: bool) -> list[str]:
    """File names of all pictures that questions and examples show, each once, in order."""
    names = [*(question.picture(control) for question in questions), *(example.file_name for example in examples)]
    return list(dict.fromkeys(names))
