"""The registry of generators: settings of the models that images come from, one class per generator.

See `model_settings.ModelSettings` for what an entry consists of.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import Field

from emudrift.config.adapted_model import AdaptedModel
from emudrift.config.adapters import Adapter, Checkpoints, strength_settings
from emudrift.config.answering import Chat
from emudrift.config.base import Checkpoint, GuidanceScale, Text, listing
from emudrift.config.command_model import CommandModel
from emudrift.config.diffusers_model import DiffusersModel
from emudrift.config.model_settings import OF_PROMPTS, ModelSettings

if TYPE_CHECKING:
    from emudrift.config.experiment import Experiment
    from emudrift.config.experiment_config import Config

TRAINED_AREA = "720 × 720"
OFF_DISTRIBUTION = (512, 512)


class Emu3Model(AdaptedModel):
    """An Emu3 checkpoint in transformers' format, optionally with a PEFT adapter that is merged into it."""

    same_speed: ClassVar[bool] = True
    labels: ClassVar[frozenset[str]] = OF_PROMPTS | {"checkpoint", "adapter", "vq"}
    checker: ClassVar[str] = "emudrift.generation.emu3.check:check_model"
    recogniser: ClassVar[str] = "emudrift.generation.emu3.check:model_is_unchanged"
    loader: ClassVar[str] = "emudrift.generation.emu3.generator:load_model"
    answerer: ClassVar[str] = "emudrift.generation.emu3.answering:load_answerer"
    question_checker: ClassVar[str] = "emudrift.generation.emu3.answering:check_questions"

    generator: Literal["emu3"]
    checkpoint: Checkpoint = Field(description="The base weights, with the processor's files in the same folder.")
    adapter: Adapter | None = Field(None, description="A PEFT adapter that is merged into the base weights.")
    checkpoints: Checkpoints | None = Field(
        None,
        exclude_if=lambda checkpoints: checkpoints is None,
        description="In place of adapter: the adapters that a training run saved on its way.",
    )
    vq: str | None = Field(
        None,
        description="Name of another model whose VQ decodes this one's tokens into pixels (training can change the VQ's "
        "statistics unnoticed); default: its own.",
    )
    chat: Chat = Field(
        Chat(), description="How it is asked about pictures, where the config has tasks of understanding."
    )

    def is_base(self, other: ModelSettings, models: Sequence[ModelSettings]) -> bool:
        if (
            not isinstance(other, Emu3Model)
            or other.adapter
            or other.checkpoints
            or other.checkpoint != self.checkpoint
        ):
            return False
        of = {each.name: each.checkpoint for each in models if isinstance(each, Emu3Model)}
        ours, theirs = (of.get(model.vq or "", model.checkpoint) for model in (self, other))
        return ours == theirs

    def scales(self, config: "Config") -> Sequence[float | None]:
        return config.guidance_scales

    def arm_settings(self, experiment: "Experiment", scale: float | None) -> dict[str, Any]:
        generation, checkpoints = experiment.config.generation, self.checkpoints_by_role(experiment)
        assert scale is not None  # Of `scales`.
        settings = (
            self.shared_settings(experiment)
            | generation.model_dump(exclude={"suffix_overrides"})
            | {"attention": generation.attention_on(experiment.config.device), "adapter": None}
            | {role: experiment.checkpoint_identity(each) for role, each in checkpoints.items()}
            | {"guidance_scale": scale, "suffix": generation.suffix_at(scale), "device": experiment.config.device}
        )
        if scale == 1:
            del settings["negative_prompt"]  # Without guidance it has no effect.
        if not generation.decoder_tf32:
            del settings["decoder_tf32"]  # Not known to version 0.2, whose images these are.
        return settings | strength_settings(self.adapter)

    def seeing_settings(self, experiment: "Experiment") -> dict[str, Any]:
        checkpoints = self.checkpoints_by_role(experiment)
        of_device = {"device": experiment.config.device, "dtype": experiment.config.generation.dtype}
        # Answers are decoded with the cache of the grid engine and sdpa, whatever images are generated with.
        return (
            {"generator": self.kind, "adapter": None, "attention": "sdpa", "engine": "grid"}
            | of_device
            | {"chat": self.chat.model_dump()}
            | strength_settings(self.adapter)
            | {role: experiment.checkpoint_identity(each) for role, each in checkpoints.items()}
        )

    def image_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        found = super().image_settings(settings)
        found.pop("attention", None)  # The manifest's is compared, which says what auto chose.
        return found

    def visual_tokens(self, settings: dict[str, Any]) -> int:
        return int(settings["width"] * settings["height"] // 64)

    def check_config(self, config: "Config") -> None:
        if self.vq is None:
            return
        others = [each.name for each in config.models if isinstance(each, Emu3Model) and each.vq is None]
        if self.vq not in others:
            raise ValueError(
                f"models: {self.name}: vq: {self.vq!r} is no emu3 model with a VQ of its own; there are {sorted(others)}"
            )

    def checkpoints_by_role(self, experiment: "Experiment") -> dict[str, Checkpoint]:
        found = {"checkpoint": self.checkpoint}
        if self.adapter is not None:
            found["adapter"] = self.adapter
        if self.vq is not None:
            found["vq"] = experiment.model(self.vq).checkpoints_by_role(experiment)["checkpoint"]
        return found

    def sentence(self) -> str:
        adapter = "" if self.adapter is None else f", with the adapter {self.adapter.label} merged into it"
        vq = "" if self.vq is None else f", its tokens decoded by the VQ of {self.vq}"
        return f"is Emu3 (Wang et al., 2024), checkpoint {self.checkpoint.label}{adapter}{vq}"

    def generation_sentences(self, config: "Config") -> str:
        generation, scales = config.generation, sorted(config.guidance_scales)
        negative = f"the negative prompt “{generation.negative_prompt}”"
        negative = negative if generation.negative_prompt else "an empty negative prompt"
        shown = [f"{scale:g}" for scale in config.guidance_scales]
        guided = f" and {negative}" if any(scale != 1 for scale in scales) else ""
        parts = [
            f"Emu3 generated images of {generation.width} × {generation.height} pixels with classifier-free guidance (Ho and "
            f"Salimans, 2022) of scale {listing(shown)}{guided}, in {generation.dtype}, sampling each visual token from the "
            f"{generation.top_k:,} most likely ones, with a separate random number generator for each image that all arms share."
        ]
        if generation.suffix_overrides:
            overrides = sorted(generation.suffix_overrides.items())
            each = listing([f"“{suffix}” at guidance {scale:g}" for scale, suffix in overrides])
            parts.append(f"The suffix “{generation.suffix}” was appended to each caption, except {each}.")
        elif generation.suffix:
            parts.append(f"The suffix “{generation.suffix}” was appended to each caption.")
        return " ".join(parts)

    def weights_words(self) -> tuple[str, str]:
        return self.checkpoint.source, "–" if self.adapter is None else self.adapter.source

    def caveat(self, settings: dict[str, Any]) -> str:
        if (settings["width"], settings["height"]) != OFF_DISTRIBUTION:
            return ""
        return (
            f"Emu3 was trained at areas near {TRAINED_AREA} pixels; {{models}} generated images of 512 × 512 pixels, which is "
            "off that distribution: FIDs at the trained size may differ."
        )


class FolderModel(ModelSettings):
    """Images that exist already: made by a closed system, another team, a competitor."""

    checked_against_prompts: ClassVar[bool] = True
    same_speed: ClassVar[bool] = True
    checker: ClassVar[str] = "emudrift.generation.folder:check_model"
    recogniser: ClassVar[str] = "emudrift.generation.folder:model_is_unchanged"
    loader: ClassVar[str] = "emudrift.generation.folder:load_model"

    generator: Literal["folder"]
    images: Text | dict[Text, Text] = Field(
        description="Folder of the images, named <prompt_id> or like the dataset's files; with several sets of prompts one for "
        "each: {coco: folder, flickr30k: folder}. A set without one has no images of this model."
    )
    table: Text | dict[Text, Text] | None = Field(
        None,
        description="CSV with columns prompt_id and file_name, where file names do not say which prompt it is; with several sets "
        "of prompts one for each.",
    )
    guidance_scale: GuidanceScale | None = Field(
        None, description="Guidance scale that the images were made with, if known; they are compared at this scale."
    )

    def folder(self, config: "Config") -> str | None:
        """The folder of images of a set of prompts, whose config this is; None where it has none."""
        return self.images if isinstance(self.images, str) else self.images.get(config.prompt_set)

    def table_of(self, config: "Config") -> str | None:
        return self.table.get(config.prompt_set) if isinstance(self.table, dict) else self.table

    def scales(self, config: "Config") -> Sequence[float | None]:
        return [] if self.folder(config) is None else [self.guidance_scale]

    def arm_settings(self, experiment: "Experiment", scale: float | None) -> dict[str, Any]:
        folder, table = self.folder(experiment.config), self.table_of(experiment.config)
        assert folder is not None  # Of `scales`.
        images = {"images": experiment.identity(folder), "table": None if table is None else experiment.identity(table)}
        return self.shared_settings(experiment) | images

    def check_config(self, config: "Config") -> None:
        for key, each in (("images", self.images), ("table", self.table)):
            if isinstance(each, str) and len(config.set_names) > 1:
                raise ValueError(
                    f"models: {self.name}: {key}: prompts of two sets can have the same prompt_id, so each set needs its own: "
                    f"{{{config.set_names[0]}: {each}, {config.set_names[1]}: ...}}"
                )
            strangers = [name for name in each if name not in config.set_names] if isinstance(each, dict) else []
            if strangers:
                there = ", ".join(filter(None, config.set_names)) or "none with a name"
                raise ValueError(
                    f"models: {self.name}: {key}: {strangers[0]!r} is no set of prompts; there are {there}"
                )

    def is_fast(self) -> bool:
        return True

    def copies_images(self) -> bool:
        return True

    def sentence(self) -> str:
        return "is a set of images that existed before"

    def weights_words(self) -> tuple[str, str]:
        return self.images if isinstance(self.images, str) else ", ".join(self.images.values()), "–"


class TokenizerModel(ModelSettings):
    """The dataset's own images through a model's VQ and back: the best FID that the model's arms can reach."""

    generates: ClassVar[bool] = False
    same_speed: ClassVar[bool] = True
    checker: ClassVar[str] = Emu3Model.checker
    recogniser: ClassVar[str] = Emu3Model.recogniser
    loader: ClassVar[str] = "emudrift.generation.tokenizer:load_model"

    generator: Literal["tokenizer"]
    of: str = Field(description="Name of the emu3 model whose VQ is used.")

    def arm_settings(self, experiment: "Experiment", scale: float | None) -> dict[str, Any]:
        config = experiment.config
        size = {"width": config.generation.width, "height": config.generation.height}
        vq = {role: experiment.checkpoint_identity(each) for role, each in self.checkpoints_by_role(experiment).items()}
        images = experiment.identity(str(config.prompts.images))
        tf32 = {"decoder_tf32": True} if config.generation.decoder_tf32 else {}
        return {"generator": self.kind, "images": images, "device": config.device} | size | tf32 | vq

    def check_config(self, config: "Config") -> None:
        others = [each.name for each in config.models if isinstance(each, Emu3Model)]
        if self.of not in others:
            raise ValueError(f"models: {self.name}: of: {self.of!r} is no emu3 model; there are {others}")
        if config.prompts.images is None:
            raise ValueError(f"models: {self.name}: needs prompts: images, the dataset's images")

    def checkpoints_by_role(self, experiment: "Experiment") -> dict[str, Checkpoint]:
        roles = experiment.model(self.of).checkpoints_by_role(experiment)
        return {"checkpoint": roles.get("vq", roles["checkpoint"])}

    def is_fast(self) -> bool:
        return True

    def sentence(self) -> str:
        return f"is the dataset's own images, encoded and decoded by the VQ of {self.of}"

    def weights_words(self) -> tuple[str, str]:
        return f"the VQ of {self.of}, given the dataset's images", "–"


MODELS: tuple[type[ModelSettings], ...] = (Emu3Model, FolderModel, DiffusersModel, CommandModel, TokenizerModel)
"""The built-in ones. A new one: its class above, its generator in generation/, and its place here."""


def any_model(*extra: type[ModelSettings]) -> Any:
    """The type of an entry of `models:` in a config: built-in ones, and a user's own."""
    return Annotated[Union[(*MODELS, *extra)], Field(discriminator="generator")]
