"""Votes in the exports of Label Studio and Amazon Mechanical Turk, read as the files that the rating pages download."""

import csv
import json
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emudrift.errors import InputError
from emudrift.evaluation.human.platforms import ANSWER
from emudrift.evaluation.human.vote_files import Sent, Vote, VoteFile
from emudrift.runtime.json_files import first_fault, load_record

logger = logging.getLogger(__name__)
EXPORT = "export it from Label Studio as JSON (not JSON-MIN), from a project with the tasks that export_ratings wrote"
BATCH = 'download it by "Review results", "Download CSV", and do not edit it'


class _TaskData(BaseModel):
    """What `platforms` put into a task."""

    model_config = ConfigDict(frozen=True, strict=True)

    experiment: str
    study: str
    rater: int
    token: str
    item: int
    question: str


class _Choice(BaseModel):
    choices: list[str] = []


class _Result(BaseModel):
    from_name: str
    value: _Choice


class _Annotation(BaseModel):
    result: list[_Result]
    completed_by: int | dict[str, Any] | None = None
    was_cancelled: bool = False
    lead_time: float | None = Field(None, ge=0, allow_inf_nan=False)

    @property
    def person(self) -> str:
        """Empty if the export does not say."""
        user = self.completed_by.get("id") if isinstance(self.completed_by, dict) else self.completed_by
        return "" if user is None else f"annotator {user}"


class _Task(BaseModel):
    id: int
    data: _TaskData
    annotations: list[_Annotation]


def is_label_studio(path: Path) -> bool:
    """Whether a JSON file is a list, as those of Label Studio and none of the pages' are."""
    try:
        return path.read_text(encoding="utf-8-sig").lstrip().startswith("[")
    except (OSError, UnicodeDecodeError):
        return False  # Said when the file is read as a page's.


def label_studio_votes(path: Path) -> list[Sent]:
    """The votes in an export, of each rater.

    Raises:
        InputError: not such an export; a task annotated twice; a rater's tasks annotated by two people, or two raters' by one.
    """
    tasks = load_record(path, list[_Task], EXPORT)
    given: dict[int, list[tuple[_Task, Vote]]] = {}
    people: dict[int, str] = {}
    for task in tasks:
        kept = [each for each in task.annotations if not each.was_cancelled]
        if not kept:
            continue
        if len(kept) > 1:
            raise InputError(
                f"{path}: task {task.id}: {len(kept)} annotations; a task is for one person: delete all but the first"
            )
        rater, person = task.data.rater, kept[0].person
        if people.setdefault(rater, person) != person:
            raise InputError(
                f"{path}: task {task.id}: the tasks of rater {rater} were annotated by two people, {people[rater]} and {person}"
            )
        given.setdefault(rater, []).append((task, _vote(path, task, kept[0])))
    _one_rater_each(path, people.items())
    return [Sent(_file(path, rater, votes), people[rater]) for rater, votes in given.items()]


def _vote(path: Path, task: _Task, annotation: _Annotation) -> Vote:
    chosen = [choice for each in annotation.result if each.from_name == ANSWER for choice in each.value.choices]
    if len(chosen) != 1:
        raise InputError(
            f"{path}: task {task.id}: {len(chosen)} answers; there must be one, named {ANSWER!r}: {EXPORT}"
        )
    vote = {
        "item": task.data.item,
        "question": task.data.question,
        "answer": chosen[0],
        "seconds": annotation.lead_time,
    }
    try:
        return Vote.model_validate(vote)
    except ValidationError as error:
        raise InputError(f"{path}: task {task.id}: {first_fault(error)}; {EXPORT}") from error


def _file(path: Path, rater: int, votes: list[tuple[_Task, Vote]]) -> VoteFile:
    """One rater's votes; all tasks must be of the same study."""
    of = Counter((task.data.experiment, task.data.study, task.data.token) for task, _ in votes)
    if len(of) > 1:
        raise InputError(
            f"{path}: the tasks of rater {rater} belong to several studies; export one project for each study"
        )
    ((experiment, study, token),) = of
    return VoteFile(
        format=2, experiment=experiment, study=study, rater=rater, token=token, votes=[vote for _, vote in votes]
    )


def mturk_votes(path: Path) -> list[Sent]:
    """The votes in the results of a batch, of each assignment that was not rejected.

    Raises:
        InputError: not such a table; one worker did the tasks of two raters.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV ({error}); {BATCH}") from error
    if not rows or not {"WorkerId", "AssignmentStatus"} <= set(rows[0]):
        raise InputError(
            f"{path}: not the results of Mechanical Turk: no columns WorkerId and AssignmentStatus with rows; {BATCH}"
        )
    found = []
    for number, row in enumerate(rows, 2):
        if row["AssignmentStatus"] == "Rejected":
            logger.info("%s: row %d: a rejected assignment, left out", path, number)
            continue
        found.append(Sent(_submitted(path, number, row), f"worker {row['WorkerId']}"))
    _one_rater_each(path, [(each.file.rater, each.person) for each in found])
    return found


def _submitted(path: Path, number: int, row: dict[str, str]) -> VoteFile:
    """What the page submitted: a column of its own, or, with Crowd HTML Elements, in Answer.taskAnswers."""
    where = f"{path}: row {number}"
    try:
        text = row.get("Answer.votes") or ""
        if not text:
            (answers,) = json.loads(row.get("Answer.taskAnswers") or "[]")
            text = answers["votes"]
        return VoteFile.model_validate(json.loads(text))
    except ValidationError as error:
        raise InputError(f"{where}: {first_fault(error)}; {BATCH}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where}: no votes of the page that export_ratings wrote; {BATCH}") from error


def _one_rater_each(path: Path, people: Iterable[tuple[int, str]]) -> None:
    """Raises InputError if one person was two raters: their votes would be taken for those of two people."""
    seen: dict[str, int] = {}
    for rater, person in people:
        if person and seen.setdefault(person, rater) != rater:
            raise InputError(
                f"{path}: {person} is rater {seen[person]} and rater {rater}; each needs a person of their own: remove the tasks "
                "of one of them from the export, and have them done by another"
            )
