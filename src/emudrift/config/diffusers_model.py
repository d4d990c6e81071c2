"""Settings of text-to-image pipelines in diffusers' format, for the registry of generators."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from emudrift.config.adapted_model import AdaptedModel
from emudrift.config.adapters import Adapter, Checkpoints, PipelineAdapter, strength_settings
from emudrift.config.base import Checkpoint
from emudrift.config.model_settings import OF_PROMPTS, ModelSettings
from emudrift.config.pipeline_call import NO_GUIDANCE, PipelineCall, exceeds_one

if TYPE_CHECKING:
    from emudrift.config.experiment import Experiment
    from emudrift.config.experiment_config import Config


class DiffusersModel(AdaptedModel, PipelineCall):
    """A text-to-image pipeline in diffusers' format: Stable Diffusion, SDXL, or one that brings its own code."""

    batch_changes_pixels: ClassVar[bool] = True
    labels: ClassVar[frozenset[str]] = OF_PROMPTS | {"checkpoint", "network", "adapter"}
    adapter_class: ClassVar[type[Adapter]] = PipelineAdapter
    checker: ClassVar[str] = "emudrift.generation.diffusers.check:check_model"
    recogniser: ClassVar[str] = "emudrift.generation.diffusers.check:model_is_unchanged"
    loader: ClassVar[str] = "emudrift.generation.diffusers.generator:load_model"

    caption_counter: ClassVar[str] = "emudrift.generation.diffusers.captions:cut_captions"

    generator: Literal["diffusers"]
    checkpoint: Checkpoint = Field(description="Folder or hub repository with model_index.json; safetensors only.")
    network: Checkpoint | None = Field(
        None,
        exclude_if=lambda network: network is None,
        description="A fully fine-tuned unet or transformer, in place of the checkpoint's own: a folder or repository with its "
        "config.json and safetensors, or with a folder unet or transformer.",
    )
    adapter: PipelineAdapter | None = Field(
        None,
        exclude_if=lambda adapter: adapter is None,
        description="What was trained on top of it: a .safetensors file with LoRA weights (diffusers, kohya, A1111), a folder or "
        "repository with one, or a folder of PEFT for its unet or transformer (docs/finetuning.md#pipelines).",
    )
    checkpoints: Checkpoints | None = Field(
        None,
        exclude_if=lambda checkpoints: checkpoints is None,
        description="In place of adapter: those that a training run saved on its way.",
    )
    steps: Annotated[int, Field(ge=1)] = Field(50, description="Denoising steps (num_inference_steps).")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        None, description="Of the networks; default: generation.dtype."
    )
    variant: str | None = Field(
        None, pattern=r"^\w+$", description="Variant of the weight files, such as fp16; default: those without one."
    )
    suffix: str | None = Field(
        None,
        description='Appended to every caption instead of generation.suffix, which is Emu3\'s; "" for none.',
    )
    negative_prompt: str | None = Field(
        None, description='Instead of generation.negative_prompt, which is Emu3\'s; "" for none.'
    )
    custom_pipeline: str | None = Field(
        None,
        pattern=r"^\w+$",
        description="Name of a Python file of the checkpoint, without .py, that holds the pipeline.",
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

    def is_base(self, other: ModelSettings, models: Sequence[ModelSettings]) -> bool:
        but = {"name", "answers", "identical_to", "adapter", "checkpoints"}
        return (
            isinstance(other, DiffusersModel)
            and other.adapter is None
            and other.checkpoints is None
            and other.model_dump(exclude=but) == self.model_dump(exclude=but)
        )

    def scales(self, config: "Config") -> Sequence[float | None]:
        return [None] if self.guidance_argument == NO_GUIDANCE else config.guidance_scales

    def arm_settings(self, experiment: "Experiment", scale: float | None) -> dict[str, Any]:
        generation = experiment.config.generation
        settings = self.shared_settings(experiment) | {
            "device": experiment.config.device,
            "checkpoint": experiment.checkpoint_identity(self.checkpoint),
            "width": generation.width,
            "height": generation.height,
            "steps": self.call.get("num_inference_steps", self.steps),
            "dtype": self.dtype or generation.dtype,
            "variant": self.variant,
            "custom_pipeline": self.custom_pipeline,
            "guidance_scale": scale,
            "suffix": generation.suffix_at(scale) if self.suffix is None else self.suffix,
            **self.call_settings(),
        }
        if exceeds_one(scale) or self.has_true_guidance():  # Without guidance it has no effect.
            own = self.negative_prompt
            settings["negative_prompt"] = generation.negative_prompt if own is None else own
        if self.network is not None:
            settings["network"] = experiment.checkpoint_identity(self.network)
        if self.adapter is not None:
            settings["adapter"] = experiment.checkpoint_identity(self.adapter)
        return settings | strength_settings(self.adapter)

    def checkpoints_by_role(self, experiment: "Experiment") -> dict[str, Checkpoint]:
        found = {"checkpoint": self.checkpoint, "network": self.network, "adapter": self.adapter}
        return {role: each for role, each in found.items() if each is not None}

    def weights_variant(self) -> str | None:
        return self.variant

    def needs_code(self) -> bool:
        return self.trust_remote_code

    def sentence(self) -> str:
        network = "" if self.network is None else f" with the network {self.network.label} in place of its own"
        adapter = "" if self.adapter is None else f" with the adapter {self.adapter.label}"
        both = " and" if network and adapter else ""
        return f"is the diffusers pipeline {self.checkpoint.label}{network}{both}{adapter}"

    def weights_words(self) -> tuple[str, str]:
        network = "" if self.network is None else f", network {self.network.source}"
        return self.checkpoint.source + network, "–" if self.adapter is None else self.adapter.source
