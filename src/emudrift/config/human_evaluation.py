"""The settings of the human evaluation: what raters are shown. They change no image and no other number."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from emudrift.config.base import Settings, Text

PROMPTS = 100


class RatedPair(Settings):
    """Two models whose images are shown side by side."""

    model: Text = Field(description="Name of the model whose wins are counted.")
    against: Text | None = Field(None, description="Name of the model that it is compared with; default: the baseline.")
    guidance_scale: float | None = Field(None, description="One of guidance_scales; default: each.")


class HumanEvaluation(Settings):
    """What raters are shown by the pages of `snakemake human_evaluation_pages`."""

    prompts: Annotated[int, Field(ge=2)] | None = Field(
        None, description=f"The first so many prompts; default: {PROMPTS}, or the largest N where that is less."
    )
    raters: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="How many people rate: a page for each.")
    pairs: Annotated[list[RatedPair], Field(min_length=1)] | None = Field(
        None, description="Default: every model against the baseline at each guidance scale."
    )
    attention_checks: Annotated[int, Field(ge=0)] = Field(
        5, description="In each of the two questions: so many pairs of one image with itself, and so many pairs again."
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
