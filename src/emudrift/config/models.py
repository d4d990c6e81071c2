"""Settings of the models, one class per generator."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from emudrift.config.base import Checkpoint, GuidanceScale, Name, Settings, Text


class Emu3Model(Settings):
    """An Emu3 checkpoint in transformers' format, perhaps with a PEFT adapter that is merged into it."""

    name: Name
    generator: Literal["emu3"]
    checkpoint: Checkpoint = Field(description="The base weights, with the processor's files beside them.")
    adapter: Checkpoint | None = Field(None, description="A PEFT adapter that is merged into the base weights.")
    vq: str | None = Field(
        None,
        description="Name of another model whose VQ turns this one's tokens into pixels (training can move the VQ's "
        "statistics unawares); default: its own.",
    )


class FolderModel(Settings):
    """Images that exist already: made by a closed system, another team, a competitor."""

    name: Name
    generator: Literal["folder"]
    images: Text = Field(description="Folder of the images, named <prompt_id> or like the dataset's files.")
    table: Text | None = Field(
        None, description="CSV with columns prompt_id and file_name, where file names do not say which prompt it is."
    )
    guidance_scale: GuidanceScale | None = Field(
        None, description="Guidance scale that the images were made with, if known; they are compared at this scale."
    )


PLACEHOLDERS = ("prompts", "output", "guidance_scale", "width", "height")


class DiffusersModel(Settings):
    """A text-to-image pipeline in diffusers' format: Stable Diffusion, SDXL, or one that brings its own code."""

    name: Name
    generator: Literal["diffusers"]
    checkpoint: Checkpoint = Field(description="Folder or hub repository with model_index.json; safetensors only.")
    steps: Annotated[int, Field(ge=1)] = Field(50, description="Steps of denoising (num_inference_steps).")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        None, description="Of the networks; default: generation.dtype."
    )
    variant: str | None = Field(
        None, pattern=r"^\w+$", description="Variant of the weight files, such as fp16; default: those without one."
    )
    suffix: str | None = Field(
        None, description='Appended to every caption in place of generation.suffix, which is Emu3\'s; "" for none.'
    )
    negative_prompt: str | None = Field(
        None, description='In place of generation.negative_prompt, which is Emu3\'s; "" for none.'
    )
    custom_pipeline: str | None = Field(
        None,
        pattern=r"^\w+$",
        description="Name of a Python file of the checkpoint, without .py, that has the pipeline.",
    )
    trust_remote_code: bool = Field(False, description="Allows Python code that comes with the checkpoint to run.")

    @model_validator(mode="after")
    def _code_is_trusted(self) -> "DiffusersModel":
        if self.custom_pipeline is not None and not self.trust_remote_code:
            raise ValueError(
                f"custom_pipeline: runs {self.custom_pipeline}.py of the checkpoint; read it, and if you trust it say "
                "trust_remote_code: true"
            )
        return self


class CommandModel(Settings):
    """Any program that takes prompts as JSON Lines and writes images: a model with an environment of its own."""

    name: Name
    generator: Literal["command"]
    command: Annotated[list[Text], Field(min_length=1)] = Field(
        description="The program and its arguments, word by word, never through a shell, run from the repository; "
        "{prompts} and {output} are filled in, and {guidance_scale}, {width}, {height} where they stand."
    )
    guidance_scale: GuidanceScale | Literal["each"] | None = Field(
        None,
        description="each: an arm for each of guidance_scales; a number: one arm; default: one arm without guidance.",
    )
    files: list[Text] = Field(
        [],
        description="Files and folders (weights, code) that can change a pixel: a shard refuses to draw with others.",
    )

    @field_validator("command")
    @classmethod
    def _placeholders(cls, words: list[str]) -> list[str]:
        found = {name for word in words for name in re.findall(r"\{(\w*)\}", word)}
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        if strangers := sorted(found - set(PLACEHOLDERS)):
            raise ValueError(f"{{{strangers[0]}}} is none of the placeholders {known}")
        if missing := [name for name in ("prompts", "output") if name not in found]:
            raise ValueError(
                f"needs {{{missing[0]}}} among its words, which stands for a path; the placeholders are {known}"
            )
        return words

    @model_validator(mode="after")
    def _guidance_is_known(self) -> "CommandModel":
        if self.guidance_scale is None and any("{guidance_scale}" in word for word in self.command):
            raise ValueError("{guidance_scale} in command needs guidance_scale: each, or a number")
        return self


GENERATORS = ("emu3", "folder", "diffusers", "command", "tokenizer")


class TokenizerModel(Settings):
    """The dataset's own images through a model's VQ and back: the best FID that the model's arms can reach."""

    name: Name
    generator: Literal["tokenizer"]
    of: str = Field(description="Name of the emu3 model whose VQ is used.")


AnyModel = Annotated[
    Emu3Model | FolderModel | DiffusersModel | CommandModel | TokenizerModel, Field(discriminator="generator")
]
