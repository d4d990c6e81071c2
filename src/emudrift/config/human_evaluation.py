"""The settings of the human evaluation: what raters are shown. They change no image and no other number."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from emudrift.config.base import Settings, Text

PROMPTS = 100


class RatedPair(Settings):
    """Two models whose images are shown side by side."""

    model: Text = Field(description="Name of the model whose wins are counted.")
    against: Text | None = Field(None, description="Name of the model that it is compared with; default: the baseline.")
    guidance_scale: float | None = Field(None, description="One of guidance_scales; default: each.")


Raters = Annotated[int, Field(ge=1, le=1000)]


class RatersOfQuestions(Settings):
    """How many people answer each question."""

    appeal: Raters = Field(description="Raters 1 to this one judge visual appeal.")
    faithfulness: Raters = Field(description="Raters 1 to this one judge text faithfulness.")

    @property
    def most(self) -> int:
        return max(self.appeal, self.faithfulness)


def _for_both(raters: Any) -> Any:
    return {"appeal": raters, "faithfulness": raters} if isinstance(raters, int) else raters


class Recruitment(Settings):
    """What the methods paragraph says of the raters; what is left out stands there in brackets, to be filled in."""

    source: Text | None = Field(
        None, description='How raters were found, as in "recruited from the staff of the institute".'
    )
    pay: Text | None = Field(None, description='As in "paid 12 euros per hour".')
    consent: Text | None = Field(None, description='As in "consent: in writing, before the first pair".')
    approval: Text | None = Field(None, description="Of an ethics board: which, or why none was needed.")


class HumanEvaluation(Settings):
    """What raters are shown by the pages of `snakemake human_evaluation_pages`."""

    prompts: Annotated[int, Field(ge=2)] | None = Field(
        None, description=f"The first so many prompts; default: {PROMPTS}, or the largest N where that is less."
    )
    prompt_set: Text | None = Field(
        None, description="Name of the set of prompts that is rated; default: the first. One study is about one set."
    )
    raters: Annotated[
        RatersOfQuestions, BeforeValidator(_for_both, json_schema_input_type=Raters | RatersOfQuestions)
    ] = Field(
        RatersOfQuestions(appeal=5, faithfulness=5),
        description="How many people rate, a page for each: a number, or one for each question, as in Emu's protocol: "
        "{appeal: 5, faithfulness: 3}.",
    )
    pairs: Annotated[list[RatedPair], Field(min_length=1)] | None = Field(
        None, description="Default: every model against the baseline at each guidance scale."
    )
    all_pairs: bool = Field(
        False,
        description="Every two models at each guidance scale, instead of `pairs`. Three or more arms that are compared with each "
        "other, directly or through others, are ranked in either case.",
    )
    split: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Divides the pairs of images among so many raters, each with an equal share of every prompt and every pair "
        "of arms; `raters` is a multiple of it. 1: every rater sees every pair.",
    )
    attention_checks: Annotated[int, Field(ge=0)] = Field(
        5,
        description="In each of the two questions: so many pairs of one image with itself, so many pairs again, and, where there "
        "are photographs (prompts: images), so many with a known winner: a photograph beside its heavy degradation, or, for text "
        "faithfulness, beside the photograph of another prompt.",
    )
    information: Text | None = Field(
        None,
        description="Text on the first screen of every page, before the first pair: who asks, what is stored and for how long, "
        "pay, how to withdraw (docs/human-evaluation.md has one to fill in). Paragraphs are separated by an empty line.",
    )
    recruitment: Recruitment = Field(
        default_factory=lambda: Recruitment(), description="What the methods paragraph says of the raters."
    )
    min_votes: Annotated[int, Field(ge=1)] = Field(
        1, description="Prompts with fewer votes for a question and pair are left out there; they are counted."
    )
    exclude_failed: bool = Field(
        False, description="Leave out the votes of raters who fail the attention checks; they are reported either way."
    )


def check_human_evaluation(
    settings: HumanEvaluation, drawing: Sequence[str], scales: Sequence[float], largest_n: int
) -> None:
    """Raises ValueError for names, scales and numbers that the experiment does not have.

    Args:
        drawing: names of the models that generate images.
        scales: guidance scales of the experiment, those of folder models among them.
    """
    if settings.prompts is not None and settings.prompts > largest_n:
        raise ValueError(
            f"human_evaluation: prompts: {settings.prompts} is more than the largest of sample_sizes, {largest_n}"
        )
    asked = settings.prompts or min(PROMPTS, largest_n)
    if settings.split > asked:
        raise ValueError(f"human_evaluation: split: {settings.split} is more than the prompts, {asked}")
    for question, raters in settings.raters.model_dump().items():
        if raters % settings.split:
            raise ValueError(
                f"human_evaluation: raters: {question}: {raters} is not a multiple of split, {settings.split}: some pairs would "
                "be seen more often than others"
            )
    if settings.pairs and settings.all_pairs:
        raise ValueError("human_evaluation: pairs: remove them, or all_pairs: both say what is compared")
    for pair in settings.pairs or []:
        for name in (pair.model, pair.against):
            if name is not None and name not in drawing:
                raise ValueError(
                    f"human_evaluation: pairs: {name!r} is none of the models that generate images, {list(drawing)}"
                )
        if pair.guidance_scale is not None and pair.guidance_scale not in scales:
            raise ValueError(
                f"human_evaluation: pairs: guidance_scale: {pair.guidance_scale:g} is none of "
                f"{', '.join(f'{scale:g}' for scale in scales)}"
            )
