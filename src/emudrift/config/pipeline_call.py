"""What a config may say about the call of a diffusers pipeline: its arguments, which of them is guidance, its scheduler."""

import re
from typing import Any

from pydantic import Field, model_validator

from emudrift.config.base import Settings, Text
from emudrift.config.model_settings import ModelSettings

Plain = bool | int | float | str | None | list[bool | int | float | str | None]
"""A value that a setting may have."""

NO_GUIDANCE = "none"
"""`guidance_argument` of a pipeline without guidance: one arm without a scale."""

SET_ELSEWHERE = {
    "prompt": "it is the caption",
    "negative_prompt": "use negative_prompt of the model",
    "generator": "each image has its own, from seed",
    "width": "use width of generation",
    "height": "use height of generation",
    "num_images_per_prompt": "there is one image for each prompt",
    "output_type": "images are needed",
    "return_dict": "images are needed",
}
"""Arguments that emudrift sets itself, and where they come from."""

PER_IMAGE = re.compile(r"prompt_\d|negative_prompt_\d|image|latents|callback\w*|\w+_(embeds|mask|image|images)")
"""Arguments that are texts or arrays of single images."""


class PipelineScheduler(Settings):
    """What replaces the scheduler of a pipeline, or some of its settings."""

    name: Text | None = Field(None, description="Class of diffusers; default: that of the checkpoint.")
    settings: dict[str, Plain] = Field(
        {},
        description="Settings of that class that differ from the checkpoint's, such as {timestep_spacing: trailing}.",
    )

    @model_validator(mode="after")
    def _something(self) -> "PipelineScheduler":
        if self.name is None and not self.settings:
            raise ValueError("give name, settings, or both")
        return self


class PipelineCall(ModelSettings):
    """The part of a pipeline's settings that is about its call; all of it can change a pixel."""

    call: dict[str, Plain] = Field(
        {},
        exclude_if=lambda call: not call,
        description="Further arguments of the pipeline's own call, such as {true_cfg_scale: 4.0}; names are checked against it.",
    )
    guidance_argument: Text | None = Field(
        None,
        exclude_if=lambda name: name is None,
        description="Argument of the pipeline's call that takes the guidance scale; none: it has no guidance, and makes one arm "
        "without a scale. Default: known for the pipeline's class, and guidance_scale for most.",
    )
    scheduler: PipelineScheduler | None = Field(
        None,
        exclude_if=lambda scheduler: scheduler is None,
        description="In place of the checkpoint's scheduler: its class, its settings, or both.",
    )
    safety_checker: bool = Field(
        True,
        exclude_if=lambda used: used,
        description="false: the pipeline's safety checker is not loaded, and no image is replaced by a black one.",
    )

    @model_validator(mode="after")
    def _arguments_are_free(self) -> "PipelineCall":
        for name in self.call:
            if name == (self.guidance_argument or "guidance_scale"):
                raise ValueError(f"call: {name}: emudrift sets this argument: use guidance_scales")
            if name in SET_ELSEWHERE:
                raise ValueError(f"call: {name}: emudrift sets this argument: {SET_ELSEWHERE[name]}")
            if PER_IMAGE.fullmatch(name):
                raise ValueError(f"call: {name}: belongs to single images, and call is the same for all")
        steps = self.call.get("num_inference_steps", 1)
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise ValueError(f"call: num_inference_steps: expected a whole number of steps, 1 or more, found {steps!r}")
        if "num_inference_steps" in self.call and "steps" in self.model_fields_set:
            raise ValueError("give either steps or call: num_inference_steps, which is the same")
        return self

    def call_settings(self) -> dict[str, Any]:
        """What of it belongs to a fingerprint: what is said, so that a config that says nothing keeps its own."""
        said = self.model_dump(mode="json", include=set(PipelineCall.model_fields) - set(ModelSettings.model_fields))
        said["call"] = {name: value for name, value in self.call.items() if name != "num_inference_steps"}
        return {name: value for name, value in said.items() if value != {}}

    def has_true_guidance(self) -> bool:
        """Whether the call has guidance of its own, for which a negative prompt counts at every scale."""
        return exceeds_one(self.call.get("true_cfg_scale"))


def exceeds_one(value: object) -> bool:
    return isinstance(value, int | float) and value > 1
