"""The registry of feature extractors: settings of the networks that turn images into feature vectors, one class each.

The settings class is the whole entry: what a config may say, what of it can change a feature, the name of the Fréchet distance
based on the network, and how it is loaded.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import Discriminator, Field, Tag, model_validator

from emudrift.config.base import Checkpoint, Settings, Text
from emudrift.config.paths import download_record
from emudrift.config.registry import load_function, names_of

if TYPE_CHECKING:
    from pathlib import Path

    from emudrift.config.experiment import Experiment

# sha256 of pytorch-fid's published weights, pt_inception-2015-12-05-6726825d.pth.
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

MIN_N_PER_DIMENSION = 2.5
"""Images per feature dimension below which no difference of FIDs is claimed: `bench/coverage.py`, docs/statistics.md."""


class ExtractorSettings(Settings):
    """Base of the settings of every extractor.

    A subclass has a `name: Literal["..."]`, by which a config asks for it, and `dims`, the length of a feature vector. An
    extractor of a user's own overrides `load`.
    """

    distance: ClassVar[str | None] = None
    """What the Fréchet distance through it is called, such as FID. None: no distance and no metric but those that name it."""
    network: ClassVar[str] = ""
    """Name of the network, for people; default: `name`."""
    citation: ClassVar[str] = ""
    """Of the distance, as in a text."""
    bibtex: ClassVar[str] = ""
    plugin: ClassVar[str] = ""
    """sha256 of the user's file that it comes from; "" for built-in ones."""
    loader: ClassVar[str] = ""
    checker: ClassVar[str] = ""

    # Each subclass narrows these.
    name: str
    dims: Annotated[int, Field(ge=1)]

    @property
    def ready_statistics(self) -> str | None:
        """Ready statistics of the reference, where its settings have the key `reference_statistics` and it is set."""
        return getattr(self, "reference_statistics", None)

    def feature_settings(self, experiment: "Experiment") -> dict[str, Any]:
        """Everything that can change a feature, and nothing else: what its fingerprint covers."""
        own = self.model_dump(exclude={"reference_statistics"})
        return own | {"device": experiment.config.device} | ({"plugin": self.plugin} if self.plugin else {})

    def load(self, experiment: "Experiment") -> Any:
        """The extractor (`features.registry.Extractor`), ready on the experiment's device.

        Raises:
            InputError: its weights are missing or wrong.
        """
        return load_function(self.loader)(self, experiment)

    def check(self, experiment: "Experiment") -> None:
        """Validates its weights without loading them. Raises InputError where they are missing or wrong."""
        if self.checker:
            load_function(self.checker)(self, experiment)

    def weights_file(self, experiment: "Experiment") -> "Path | None":
        """The file whose presence shows that its weights are there; None where it needs no file."""
        return None

    def weights_files(self, experiment: "Experiment") -> "list[Path]":
        """All files that decide about its features."""
        file = self.weights_file(experiment)
        return [] if file is None else [file]

    def weights_key(self) -> str:
        """The key of the config that names that file."""
        return "weights"

    def weights_label(self, experiment: "Experiment") -> str:
        """For tables: random, published, or where the checkpoint is from."""
        return f"plugin {self.plugin[:12]}" if self.plugin else "published"

    def weights_details(self, experiment: "Experiment") -> str:
        """The same with all that tells one from another, for the page."""
        return self.weights_label(experiment)

    def preprocessing_words(self) -> dict[str, Any]:
        """What it sees of an image, for the page's table."""
        return {}

    def sentence(self, experiment: "Experiment") -> str:
        """How the features were computed, for the methods paragraph; it follows the name of the distance."""
        return f"was computed from {self.dims:,} features of {self.name}"


class Preprocessing(Settings):
    """How an image becomes the 299 x 299 input of the Inception network."""

    resize: Literal["bicubic", "bilinear", "pytorch-fid"] = Field(
        "bicubic",
        description="Filter of the last step to 299: PIL bicubic or bilinear, both antialiased, or pytorch-fid's bilinear, which "
        "is not.",
    )
    crop: Literal["center", "none"] = Field("center", description="center: largest centred square; none: distort.")
    size: Annotated[int, Field(ge=32)] | None = Field(
        256, description="Shorter side before 299 (256 is the COCO protocol), or null."
    )


class Inception(ExtractorSettings):
    """The Inception network of FID."""

    distance: ClassVar[str | None] = "FID"
    citation: ClassVar[str] = "Heusel et al., 2017"
    loader: ClassVar[str] = "emudrift.features.inception:load"
    checker: ClassVar[str] = "emudrift.features.inception_weights:check"

    name: Literal["inception", "inception-random"] = Field(
        "inception",
        description="inception: the published FID weights; inception-random: seeded random weights, a stand-in.",
    )
    dims: Literal[64, 192, 768, 2048] = Field(2048, description="Layer of the network; 2048 is pool3, the usual FID.")
    weights: Text | None = Field(
        None, description="Local file of the published weights; null: downloaded once by its own rule."
    )
    sha256: str = Field(INCEPTION_SHA256, pattern=r"^[0-9a-f]{64}$", description="sha256 of the weights file.")
    seed: int = Field(0, ge=0, description="Seed of the random weights (inception-random).")
    preprocessing: Preprocessing = Field(default_factory=lambda: Preprocessing())
    reference_statistics: Text | None = Field(
        None, description="Ready statistics of the reference (.npz with mu, sigma) instead of reference images."
    )

    @model_validator(mode="after")
    def _random_has_no_weights(self) -> "Inception":
        if self.random and self.weights is not None:
            raise ValueError("inception-random generates its weights from seed; weights belong to name: inception")
        return self

    @property
    def random(self) -> bool:
        return self.name == "inception-random"

    def feature_settings(self, experiment: "Experiment") -> dict[str, Any]:
        settings = self.model_dump(exclude={"weights", "reference_statistics", "sha256" if self.random else "seed"})
        return settings | {"device": experiment.config.device}

    def weights_file(self, experiment: "Experiment") -> "Path | None":
        if self.random:
            return None
        if self.weights is not None:
            return experiment.path(self.weights)
        return experiment.paths.inception_weights(self.sha256[:12])

    def weights_label(self, experiment: "Experiment") -> str:
        return "random" if self.random else "published"

    def weights_details(self, experiment: "Experiment") -> str:
        return f"random, seed {self.seed}" if self.random else f"sha256 {self.sha256}"

    def preprocessing_words(self) -> dict[str, Any]:
        return self.preprocessing.model_dump()

    def sentence(self, experiment: "Experiment") -> str:
        weights = (
            f"an Inception network with random weights (seed {self.seed}), a stand-in whose values mean nothing outside "
            "this experiment"
            if self.random
            else f"the published FID weights of Inception (sha256 {self.sha256[:12]}…)"
        )
        seen = self.preprocessing
        if seen.size is not None and seen.crop == "none":
            steps = [f"resized to {seen.size} × {seen.size} without keeping their aspect ratio"]
        else:
            steps = [] if seen.size is None else [f"resized to a shorter side of {seen.size}"]
            steps += ["cropped to the largest centred square"] if seen.crop == "center" else []
        filters = {
            "bicubic": "resized to 299 × 299 with an antialiased bicubic filter (see Parmar et al., 2022)",
            "bilinear": "resized to 299 × 299 with an antialiased bilinear filter",
            "pytorch-fid": "resized to 299 × 299 with the bilinear filter of pytorch-fid",
        }
        seen_as = ", then ".join([*steps, filters[seen.resize]])
        return f"was computed from {self.dims:,} features of {weights}; images were {seen_as}"


class CheckpointExtractor(ExtractorSettings):
    """Base of extractors whose network is a checkpoint in transformers' format."""

    preprocessing: ClassVar[dict[str, Any]]
    """Fixed: that of the paper."""
    checkpoint: Checkpoint

    def feature_settings(self, experiment: "Experiment") -> dict[str, Any]:
        return {
            "name": self.name,
            "dims": self.dims,
            "checkpoint": experiment.checkpoint_identity(self.checkpoint),
            "preprocessing": self.preprocessing,
            "device": experiment.config.device,
        }

    def weights_file(self, experiment: "Experiment") -> "Path | None":
        folder = experiment.checkpoint_folder(self.checkpoint)
        return folder / "config.json" if self.checkpoint.hub is None else download_record(folder)

    def weights_files(self, experiment: "Experiment") -> "list[Path]":
        folder = experiment.checkpoint_folder(self.checkpoint)
        return sorted(path for path in folder.glob("*") if path.is_file())

    def weights_key(self) -> str:
        return "checkpoint: path"

    def weights_label(self, experiment: "Experiment") -> str:
        return experiment.checkpoint_identity(self.checkpoint)

    def preprocessing_words(self) -> dict[str, Any]:
        return self.preprocessing

    def sentence(self, experiment: "Experiment") -> str:
        square = self.preprocessing["crop"] == "center"
        shape = "the largest central square of each image" if square else "each image"
        return (
            f"was computed from {self.dims:,} features of {self.checkpoint.label}, with {shape} resized by an antialiased "
            f"bicubic filter to {self.preprocessing['size']} pixels"
        )


class Dinov2(CheckpointExtractor):
    """DINOv2 as Stein et al. 2023 (arXiv:2306.04675) use it: the distance through it is FD-DINOv2."""

    distance: ClassVar[str | None] = "FD-DINOv2"
    network: ClassVar[str] = "DINOv2"
    citation: ClassVar[str] = "Stein et al., 2023"
    loader: ClassVar[str] = "emudrift.features.dinov2:load"
    checker: ClassVar[str] = "emudrift.features.checkpoint:check"
    # As their program dgm-eval does by default: distorted to 224 x 224 with PIL's antialiased bicubic.
    preprocessing: ClassVar[dict[str, Any]] = {"crop": "none", "resize": "bicubic", "size": 224}

    name: Literal["dinov2"]
    checkpoint: Checkpoint = Field(
        Checkpoint(hub="facebook/dinov2-large", revision="47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"),
        description="Dinov2 in transformers' format: a local folder, or a hub id at a pinned revision. The paper's is ViT-L/14.",
    )
    dims: Annotated[int, Field(ge=1)] = Field(1024, description="Width of the checkpoint's CLS token.")
    reference_statistics: Text | None = Field(
        None, description="Ready statistics of the reference (.npz with mu, sigma) instead of reference images."
    )


class Clip(CheckpointExtractor):
    """CLIP as Jayasumana et al. 2024 (arXiv:2401.09603) use it: for CMMD, and for CLIPScore."""

    loader: ClassVar[str] = "emudrift.features.clip:load"
    checker: ClassVar[str] = "emudrift.features.checkpoint:check"
    # As their io_util.py does: the largest central square, with PIL's antialiased bicubic to the network's size (336).
    preprocessing: ClassVar[dict[str, Any]] = {"crop": "center", "resize": "bicubic", "size": "that of the checkpoint"}
    name: Literal["clip"]
    checkpoint: Checkpoint = Field(
        Checkpoint(hub="openai/clip-vit-large-patch14-336", revision="ce19dc912ca5cd21c8a653c79e251e808ccabcd1"),
        description="CLIP in transformers' format, with its tokenizer: a local folder, or a hub id at a pinned revision. "
        "The paper's is ViT-L/14 at 336 pixels.",
    )
    dims: Annotated[int, Field(ge=1)] = Field(768, description="Width of the checkpoint's embeddings.")


EXTRACTORS: tuple[type[ExtractorSettings], ...] = (Inception, Dinov2, Clip)
"""The built-in ones. A new one: its class above, its network in features/, and its place here."""

_DISTANCES = {name: each.distance for each in EXTRACTORS for name in names_of(each, "name")}


def register_distance(extractor: type[ExtractorSettings]) -> None:
    """Makes the name of a user's own distance known to the words of the report."""
    _DISTANCES.update({name: extractor.distance for name in names_of(extractor, "name")})


def distance_name(extractor: str) -> str:
    """What the Fréchet distance through an extractor is called.

    Args:
        extractor: its name, or its full name with the fingerprint, or a text that begins with one of them.
    """
    known = [name for name in _DISTANCES if extractor == name or extractor.startswith(f"{name}-")]
    return _DISTANCES[max(known, key=len)] or "FID" if known else "FID"


def any_extractor(*extra: type[ExtractorSettings]) -> Any:
    """The type of an entry of `extractors:` in a config: built-in ones, and a user's own."""
    kinds = {name: names_of(each, "name")[0] for each in (*EXTRACTORS, *extra) for name in names_of(each, "name")}

    def kind(value: Any) -> str | None:
        # Inception where no name is given.
        name = value.get("name", "inception") if isinstance(value, dict) else getattr(value, "name", None)
        return kinds.get(name, name) if isinstance(name, str) else None

    tagged = tuple(Annotated[each, Tag(names_of(each, "name")[0])] for each in (*EXTRACTORS, *extra))
    return Annotated[Union[tagged], Discriminator(kind)]  # noqa: UP007  (made of a tuple)
