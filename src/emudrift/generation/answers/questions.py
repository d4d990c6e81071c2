"""What a shard of answers is asked: the rows of its question table, as a variant of the task shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.config.seeing import Variant
from emudrift.data.image_sources import open_pictures
from emudrift.data.questions import Example, Question, load_questions, load_support, pictures_of
from emudrift.errors import InputError
from emudrift.generation.answers.interface import AskedQuestion, Picture, ShownExample


def load_asked(experiment: Experiment, variant: Variant, shard: RowRange | None = None) -> list[AskedQuestion]:
    """The questions of a shard (default: all that are asked), with the pictures and examples that the variant shows.

    Every picture is read, for its sha256: an answer belongs to what the picture contains, not to its name.

    Raises:
        InputError: the table has no such rows, a picture is missing, or there are too few examples.
    """
    understanding, task = experiment.understanding, variant.task
    table = load_questions(understanding.questions(task), task.asked)
    questions = table[shard.start : shard.stop] if shard is not None else table
    if not questions:
        raise InputError(f"{understanding.questions(task)}: has no row {shard.start if shard else 0:,}")
    examples = _examples(understanding.support(task), questions, variant)
    names = pictures_of(questions, [each for of_one in examples for each in of_one], variant.control)
    with open_pictures(experiment.path(task.images)) as files:
        pictures = {name: Picture(name, files.sha256(name)) for name in names}
    return [
        AskedQuestion(
            row=question.row,
            question_id=question.question_id,
            image_id=question.image_id,
            text=task.asks(question.question),
            picture=pictures[question.picture(variant.control)],
            examples=tuple(_shown(each, variant, pictures) for each in of_one),
        )
        for question, of_one in zip(questions, examples, strict=True)
    ]


def _examples(support: Path, questions: Sequence[Question], variant: Variant) -> list[list[Example]]:
    if not variant.shots:
        return [[] for _ in questions]
    found = load_support(support)
    return [found.examples_for(question.question_id, variant.shots) for question in questions]


def _shown(example: Example, variant: Variant, pictures: Mapping[str, Picture]) -> ShownExample:
    picture = None if variant.text_only else pictures[example.file_name]
    return ShownExample(variant.task.asks(example.question), picture, example.answer)
