"""What every model's settings provide: the base class of the registry of generators.

The settings class is the whole entry: what a config may say, the arms that follow from it and what of them can change a pixel,
how the model is validated and loaded, and what the report says about it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from emudrift.config.base import Checkpoint, Name, Settings, Text
from emudrift.config.registry import load_function

if TYPE_CHECKING:
    from pathlib import Path

    from emudrift.config.experiment import Experiment
    from emudrift.config.experiment_config import Config

OF_PROMPTS = frozenset({"seed", "caption"})
"""Settings that chose the prompts: a sample's record holds its caption and its seed themselves."""


class ModelSettings(Settings):
    """Base of the settings of every model.

    A subclass has a `generator: Literal["..."]`, by which a config asks for it. A generator of a user's own overrides `load`, and
    `extra_files` where files decide what it generates.
    """

    generates: ClassVar[bool] = True
    """False: a lower bound for other models' arms, such as a tokenizer's; it is compared with nothing."""
    checked_against_prompts: ClassVar[bool] = False
    """Whether validating it needs the prompt table."""
    same_speed: ClassVar[bool] = False
    """Whether all its models generate images of a size at about the same speed."""
    batch_changes_pixels: ClassVar[bool] = False
    """Whether the batch size can change a pixel also in float32."""
    labels: ClassVar[frozenset[str]] = frozenset()
    """Keys of `arm_settings` that only say where something comes from, when prompts and model digest are the same: images that
    differ in nothing else are the same."""
    plugin: ClassVar[str] = ""
    """sha256 of the user's file that it comes from; "" for built-in ones."""
    checker: ClassVar[str] = ""
    recogniser: ClassVar[str] = ""
    loader: ClassVar[str] = ""
    answerer: ClassVar[str] = ""
    """Loads what answers questions about pictures, for models with `seeing_settings`."""
    question_checker: ClassVar[str] = ""
    """Refuses questions that the model cannot be asked, without loading its weights; "" where there is nothing to check."""

    caption_counter: ClassVar[str] = ""
    """Counts captions that its text encoders cut; "" for models that read all of a caption, or are not known."""

    name: Name
    answers: dict[Text, Text] = Field(
        {},
        description="Answers of the model that exist already, by variant: {vqa: file.jsonl, vqa-control: file.jsonl}; files of "
        "this workflow, of lmms-eval or of VLMEvalKit (docs/understanding.md#answers-from-elsewhere). It is then asked nothing.",
    )

    identical_to: Name | None = Field(
        None,
        exclude_if=lambda name: name is None,
        description="Name of a model whose images this one's may equal byte for byte: a control. Otherwise that stops the run.",
    )

    @property
    def kind(self) -> str:
        """The name of its generator."""
        return str(getattr(self, "generator"))  # noqa: B009  (each subclass has its own Literal)

    @property
    def family(self) -> str:
        """The name of its entry in the config, which several models share (`config.adapters`)."""
        return self.name.partition("@")[0]

    @property
    def adapter_scale(self) -> float | None:
        """Strength of its adapter; None without one."""
        return None

    @property
    def step(self) -> int | None:
        """Training step of its adapter, if it is one of several checkpoints of a run."""
        return None

    # -- arms -----------------------------------------------------------------------------------------------------

    def variants(self, models: "Sequence[ModelSettings]", config_path: "Path") -> "list[ModelSettings]":
        """The models that its entry stands for: one for each strength and checkpoint of its adapter (`config.adapters`).

        Args:
            models: all entries of the config, as they are written.

        Raises:
            ValueError: they cannot be told from the config and the list that it names.
        """
        return [self]

    def scales(self, config: "Config") -> Sequence[float | None]:
        """The guidance scales of its arms; None for an arm without guidance. A user's own generator: one such arm."""
        return [None]

    def arm_settings(self, experiment: "Experiment", scale: float | None) -> dict[str, Any]:
        """Everything of its arm at a guidance scale that can change a pixel, and nothing else. JSON values."""
        generation = experiment.config.generation
        return (
            self.shared_settings(experiment)
            | {"width": generation.width, "height": generation.height, "guidance_scale": scale}
            | {"device": experiment.config.device, "plugin": self.plugin}
            | self.model_dump(mode="json", exclude={"name", "generator", "answers", "identical_to"})
        )

    def shared_settings(self, experiment: "Experiment") -> dict[str, Any]:
        config = experiment.config
        return {"seed": config.seed, "caption": config.prompts.caption, "generator": self.kind}

    def visual_tokens(self, settings: dict[str, Any]) -> int:
        """Visual tokens that are sampled for an image of an arm; 0 for a model without."""
        return 0

    def image_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What decides about an arm's images apart from prompts and model digest."""
        return {key: value for key, value in settings.items() if key not in self.labels}

    def is_fast(self) -> bool:
        """Whether nothing is generated, so that its arms take no time to speak of."""
        return False

    def copies_images(self) -> bool:
        """Whether its images are copies of files, which are found again as fast as in an archive of other settings."""
        return False

    def seeing_settings(self, experiment: "Experiment") -> dict[str, Any] | None:
        """Everything of the model that can change its answers to questions about pictures; None: it does not see. JSON values."""
        return None

    # -- files ----------------------------------------------------------------------------------------------------

    def check_config(self, config: "Config") -> None:
        """Raises ValueError where it does not fit the rest of a config."""

    def checkpoints_by_role(self, experiment: "Experiment") -> dict[str, Checkpoint]:
        """What it is made of, by role."""
        return {}

    def weights_variant(self) -> str | None:
        """Variant of the weight files that is downloaded for it; None: those without one."""
        return None

    def needs_code(self) -> bool:
        """Whether Python files of a repository are downloaded for it."""
        return False

    def download_part(self) -> str:
        """Which part of a repository is downloaded for it, as a suffix of the folder's name: parts are kept apart."""
        variant = self.weights_variant()
        return ("" if variant is None else f".{variant}") + ".code" * self.needs_code()

    def extra_files(self, experiment: "Experiment") -> "dict[str, Path]":
        """Files other than checkpoints that can change a pixel, by names that are the same on every machine."""
        return {}

    def check(self, experiment: "Experiment", prompts: Sequence[Any]) -> dict[str, Any]:
        """Validates the model without loading its weights: `digest`, `files` and `revisions`.

        Args:
            prompts: the rows that images will be generated for.

        Raises:
            InputError: something is missing or does not fit.
        """
        checker = self.checker or "emudrift.generation.model_files:check_files"
        found: dict[str, Any] = load_function(checker)(experiment, self, prompts)
        return found

    def is_unchanged(self, experiment: "Experiment", files: dict[str, Any]) -> bool:
        """Whether its files have the sizes and times that `check` recorded. False means only that they must be hashed again."""
        recogniser = self.recogniser or "emudrift.generation.model_files:files_are_unchanged"
        return bool(load_function(recogniser)(experiment, self, files))

    def load(self, experiment: "Experiment", arm: Any) -> Any:
        """The generator (`generation.interface`) of an arm. Raises InputError where it cannot be loaded."""
        return load_function(self.loader)(experiment, self, arm)

    # -- report ---------------------------------------------------------------------------------------------------

    def sentence(self) -> str:
        """What the model is, for the methods paragraph; it follows the model's name."""
        return f"is generated by {self.kind}"

    def generation_sentences(self, config: "Config") -> str:
        """How all models of this generator generated images, for the methods paragraph."""
        return ""

    def weights_words(self) -> tuple[str, str]:
        """Where its checkpoint or images and its adapter are from, for the page."""
        return (f"plugin {self.plugin[:12]}" if self.plugin else "–"), "–"

    def caveat(self, settings: dict[str, Any]) -> str:
        """What a reader must know of the settings of one of its arms; equal texts of several models are joined."""
        return ""


def check_controls(models: "Sequence[ModelSettings]") -> None:
    """Raises ValueError where `identical_to` names no other model that generates images."""
    for model in models:
        others = [each for each in models if each.generates and each.family != model.family]
        known = list(dict.fromkeys(name for each in others for name in (each.family, each.name)))
        if model.identical_to is not None and model.identical_to not in known:
            raise ValueError(
                f"models: {model.name}: identical_to: {model.identical_to!r} is no other model that generates images; there "
                f"are {known}"
            )
