"""The file with one rater's votes, as the rating page downloads it."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from emudrift.evaluation.human.study import Question


class Vote(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    item: int
    question: Question
    answer: Literal["left", "right", "tie", "both", "neither"]
    seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    """From when both images were displayed to the answer; None in files of format 1."""


class VoteFile(BaseModel):
    """The file that a rater downloads from the page; `item` is the 0-based index into that rater's items in key.json.

    `token` is only in this rater's page (empty in files of format 1).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1, 2]
    experiment: str
    study: str
    rater: int
    token: str = ""
    votes: list[Vote]


@dataclass(frozen=True)
class Sent:
    """Votes of one rater; `person` is who a platform says it was, empty for the pages' files."""

    file: VoteFile
    person: str = ""
