"""The settings of understanding: questions about pictures, whose answers show what fine-tuning for it bought."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, field_validator, model_validator

from emudrift.config.answering import QuestionPrompt
from emudrift.config.base import Name, Settings, Text

# The Narrow Gate's own (FACTS.md section 8; evaluation_task/ of its repository).
CAPTION_PROMPT = "Provide a one-sentence caption for the provided image."
VQA_PROMPT = "{question}\nAnswer the question using a single word or phrase."
TEXT_ONLY_EXAMPLES = 2
"""Examples that are shown without their pictures with `text_only` (Alayrac et al. 2022, arXiv:2204.14198, section 3.4)."""
CONTROL, TEXT_ONLY = "control", "textonly"
"""Endings of the names of variants."""


class UnderstandingTask(Settings):
    """What all tasks share. A task becomes several variants, each answered by every model that sees."""

    metric: ClassVar[str]
    default_number: ClassVar[int]

    name: Name
    images: Text = Field(description="Folder, .zip or .tar of the pictures.")
    number: Annotated[int, Field(ge=4)] | None = Field(
        None,
        description="Questions that are asked, the first in a random order drawn from the seed, so that fewer are a part of "
        "more; default: 5,000 captions, 2,000 questions.",
    )
    image_area: Annotated[int, Field(ge=64)] = Field(
        518_400, description="Largest area of a picture in pixels; larger ones are shrunk. Default: 720 x 720."
    )
    seed: int | None = Field(
        None,
        ge=0,
        description="Order of the questions, examples and exchanged pictures; default: the seed of the experiment.",
    )
    shots: Annotated[list[Annotated[int, Field(ge=0, le=64)]], Field(min_length=1)] = Field(
        [0],
        description="Examples with pictures and answers before each question: a variant for each number. They are drawn from the "
        "images at the end of the random order, which no question is about.",
    )
    text_only: bool = Field(
        False, description=f"A further variant with {TEXT_ONLY_EXAMPLES} examples without their pictures."
    )
    control: bool = Field(
        True,
        description="A further variant with the pictures exchanged: what remains of the score is language prior. It belongs to "
        "the first of shots.",
    )
    shard_size: Annotated[int, Field(ge=1)] = Field(1000, description="Questions per job.")

    @property
    def kind(self) -> str:
        """caption or vqa."""
        return str(getattr(self, "task"))  # noqa: B009  (each subclass has its own Literal)

    @property
    def asked(self) -> int:
        """How many questions are asked."""
        return self.default_number if self.number is None else self.number

    def asks(self, question: str) -> str:
        """The text that a model is asked: the prompt, with the question where it has one."""
        return str(getattr(self, "prompt")).replace("{question}", question)  # noqa: B009  (each subclass has its own default)

    def files(self) -> dict[str, list[str]]:
        """The files of questions, references and answers, by key."""
        raise NotImplementedError

    def variants(self) -> list[tuple[str, dict[str, Any]]]:
        """Name of each variant and what makes it one, the plain one first."""
        plain = {"shots": self.shots[0], "text_only": False, "control": False}
        found = [(self._named(shots), plain | {"shots": shots}) for shots in self.shots]
        if self.text_only:
            found.append((f"{self.name}-{TEXT_ONLY}", plain | {"shots": TEXT_ONLY_EXAMPLES, "text_only": True}))
        if self.control:
            found.append((f"{self._named(self.shots[0])}-{CONTROL}", plain | {"control": True}))
        return found

    def _named(self, shots: int) -> str:
        return f"{self.name}-{shots}shots" if shots else self.name

    @field_validator("shots")
    @classmethod
    def _once(cls, shots: list[int]) -> list[int]:
        if len(set(shots)) < len(shots):
            raise ValueError("a number is given more than once; each must be unique")
        return shots


class CaptionTask(UnderstandingTask):
    """Captions of pictures, scored by CIDEr-D."""

    metric: ClassVar[str] = "cider"
    default_number: ClassVar[int] = 5000

    task: Literal["caption"]
    captions: Text = Field(description="Reference captions: COCO or NoCaps JSON, or Karpathy's (COCO, Flickr30k).")
    source: Literal["coco", "karpathy"] = Field("coco", description="Format of captions; coco is that of NoCaps, too.")
    splits: list[str] = Field([], description="Splits of Karpathy's file to use, for example [test].")
    prompt: Text = Field(CAPTION_PROMPT, description="What is asked.")
    max_new_tokens: Annotated[int, Field(ge=1)] = Field(60, description="Tokens after which an answer is cut off.")

    def files(self) -> dict[str, list[str]]:
        return {"captions": [self.captions]}

    @model_validator(mode="after")
    def _splits_belong_to_karpathy(self) -> "CaptionTask":
        if (self.source == "karpathy") != bool(self.splits):
            raise ValueError("splits are needed with source: karpathy, for example [test], and with no other source")
        return self


class VqaTask(UnderstandingTask):
    """Questions about pictures, scored by the official VQA accuracy."""

    metric: ClassVar[str] = "vqa_accuracy"
    default_number: ClassVar[int] = 2000

    task: Literal["vqa"]
    questions: Text = Field(
        description="Questions: JSON of VQA v2 or OK-VQA, or the list of VizWiz, which has the answers as well."
    )
    annotations: Text | None = Field(None, description="Answers of VQA v2 or OK-VQA; none with the list of VizWiz.")
    file_names: Text | None = Field(
        None,
        description="File names of the pictures by {image_id}; default: those of COCO, such as "
        "COCO_val2014_{image_id:012d}.jpg; VizWiz names its files.",
    )
    prompt: QuestionPrompt = Field(VQA_PROMPT, description="What is asked; {question} stands for the question.")
    max_new_tokens: Annotated[int, Field(ge=1)] = Field(20, description="Tokens after which an answer is cut off.")

    def files(self) -> dict[str, list[str]]:
        return {"questions": [self.questions], "annotations": [self.annotations] if self.annotations else []}

    @field_validator("file_names")
    @classmethod
    def _has_image_id(cls, form: str | None) -> str | None:
        if form is not None and not re.fullmatch(r"[^{}]*\{image_id(:0?\d+d)?\}[^{}]*", form):
            raise ValueError(
                f"{form!r} has no {{image_id}} or something else in braces; COCO_val2014_{{image_id:012d}}.jpg is right"
            )
        return form


TASKS: tuple[type[UnderstandingTask], ...] = (CaptionTask, VqaTask)


def any_task() -> Any:
    """The type of an entry of `understanding:` in a config."""
    return Annotated[Union[(*TASKS,)], Field(discriminator="task")]


def check_understanding(tasks: Sequence[UnderstandingTask], answers: Mapping[str, Iterable[str]]) -> None:
    """Raises ValueError where two tasks, or variants of them, have one name, or answers belong to no variant.

    Args:
        answers: for each model the variants that it brings answers for.
    """
    names = [name.lower() for task in tasks for name, _ in task.variants()]
    known = [name for task in tasks for name, _ in task.variants()]
    families = [model.partition("@")[0] for model, brought in answers.items() if brought]
    for model, brought in answers.items():
        if families.count(model.partition("@")[0]) > 1:
            raise ValueError(
                f"models: {model.partition('@')[0]}: answers: it stands for several models; give each an entry of its own"
            )
        if strangers := [name for name in brought if name not in known]:
            raise ValueError(
                f"models: {model}: answers: {strangers[0]!r} is no variant of a task of understanding; "
                f"there are {', '.join(known) or 'none'}"
            )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"understanding: name: two tasks or variants are named {twice[0]}; each must be unique")
