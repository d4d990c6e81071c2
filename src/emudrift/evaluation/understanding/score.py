"""Scores of answers, question by question: CIDEr-D of captions, VQA accuracy of answers to questions."""

from collections.abc import Mapping, Sequence
from typing import Literal

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.seeing import Variant
from emudrift.data.answers import chosen_answers, load_answers
from emudrift.data.questions import load_questions, load_references
from emudrift.errors import InputError
from emudrift.evaluation.understanding.cider import CiderD
from emudrift.evaluation.understanding.record import ScoreRecord
from emudrift.evaluation.understanding.vqa import vqa_accuracy

SeeingMetric = Literal["cider", "vqa_accuracy"]


def scores_of(
    metric: str, question_ids: Sequence[int], answers: Sequence[str], references: Mapping[int, Sequence[str]]
) -> list[float]:
    """One score per answer.

    Args:
        question_ids: of the answers; for captions those of the images.
        references: captions or answers of people by question id. For cider of the whole dataset, whatever is scored.

    Raises:
        InputError: a question without references.
    """
    for each in question_ids:
        if each not in references:
            raise InputError(f"there is an answer with the id {each}, which the references do not have")
    if metric == "cider":
        cider = CiderD(references)
        return [cider.score(each, answer) for each, answer in zip(question_ids, answers, strict=True)]
    return [vqa_accuracy(answer, references[each]) for each, answer in zip(question_ids, answers, strict=True)]


def score_variant(experiment: Experiment, arm: Arm, variant: Variant) -> ScoreRecord:
    """Scores an arm's answers to the questions that a variant asks. Raises InputError where one is missing."""
    seeing, task = experiment.understanding, variant.task
    questions = load_questions(seeing.questions(task), task.asked)
    files = seeing.answer_files(arm, variant)
    ids = [question.question_id for question in questions]
    answers = chosen_answers(
        load_answers(files, "image_id" if task.kind == "caption" else "question_id"), ids, str(files[0])
    )
    values = scores_of(task.metric, ids, answers, load_references(seeing.references(task)))
    numbers: dict[int, int] = {}
    groups = [numbers.setdefault(question.image_id, len(numbers)) for question in questions]
    return ScoreRecord(
        arm=arm.name,
        model=arm.model,
        adapter_scale=arm.adapter_scale,
        step=arm.step,
        task=task.name,
        variant=variant.label,
        variant_key=variant.name,
        control=variant.control,
        metric=task.metric,
        n=len(values),
        images=len(numbers),
        value=sum(values) / len(values),
        question_ids=ids,
        groups=groups,
        per_question=values,
        answers=answers,
        references=seeing.key(task),
    )
