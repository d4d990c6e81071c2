"""Settings of the extractors: the networks that turn images into feature vectors, and what each sees of an image."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from emudrift.config.base import Checkpoint, Settings, Text

# sha256 of pytorch-fid's published weights, pt_inception-2015-12-05-6726825d.pth.
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

EXTRACTORS = ("inception", "inception-random", "dinov2", "clip")


class Preprocessing(Settings):
    """How an image becomes the 299 x 299 input of the Inception network."""

    resize: Literal["bicubic", "pytorch-fid"] = Field(
        "bicubic", description="Filter of the last step to 299: PIL bicubic with antialias, or pytorch-fid's bilinear."
    )
    crop: Literal["center", "none"] = Field("center", description="center: largest centred square; none: distort.")
    size: Annotated[int, Field(ge=32)] | None = Field(
        256, description="Shorter side before 299 (256 is the COCO protocol), or null."
    )


class Inception(Settings):
    """The Inception network of FID."""

    name: Literal["inception", "inception-random"] = Field(
        "inception",
        description="inception: published FID weights; inception-random: seeded random weights, a stand-in.",
    )
    dims: Literal[64, 192, 768, 2048] = Field(2048, description="Layer of the network; 2048 is pool3, the usual FID.")
    weights: Text | None = Field(
        None, description="Local file of the published weights; null: downloaded once by its own rule."
    )
    sha256: str = Field(INCEPTION_SHA256, pattern=r"^[0-9a-f]{64}$", description="sha256 of the weights file.")
    seed: int = Field(0, ge=0, description="Seed of the random weights (inception-random).")
    preprocessing: Preprocessing = Field(default_factory=lambda: Preprocessing())
    reference_statistics: Text | None = Field(
        None, description="Ready statistics of the reference (.npz with mu, sigma) in place of reference images."
    )

    @model_validator(mode="after")
    def _random_has_no_weights(self) -> "Inception":
        if self.name == "inception-random" and self.weights is not None:
            raise ValueError("inception-random draws its weights from seed; weights belong to name: inception")
        return self


class Dinov2(Settings):
    """DINOv2 as Stein et al. 2023 (arXiv:2306.04675) use it: the distance through it is FD-DINOv2."""

    # As their program dgm-eval does by default: distorted to 224 x 224 with PIL's antialiased bicubic.
    PREPROCESSING: ClassVar[dict[str, Any]] = {"crop": "none", "resize": "bicubic", "size": 224}

    name: Literal["dinov2"]
    checkpoint: Checkpoint = Field(
        Checkpoint(hub="facebook/dinov2-large", revision="47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"),
        description="Dinov2 in transformers' format: a local folder, or a hub id at a pinned revision. The paper's is ViT-L/14.",
    )
    dims: Annotated[int, Field(ge=1)] = Field(1024, description="Width of the checkpoint's CLS token.")
    reference_statistics: Text | None = Field(
        None, description="Ready statistics of the reference (.npz with mu, sigma) in place of reference images."
    )


class Clip(Settings):
    """CLIP as Jayasumana et al. 2024 (arXiv:2401.09603) use it: for CMMD, and for CLIPScore."""

    # As their io_util.py does: the largest central square, with PIL's antialiased bicubic to the network's size (336).
    PREPROCESSING: ClassVar[dict[str, Any]] = {"crop": "center", "resize": "bicubic", "size": "that of the checkpoint"}
    reference_statistics: ClassVar[None] = None

    name: Literal["clip"]
    checkpoint: Checkpoint = Field(
        Checkpoint(hub="openai/clip-vit-large-patch14-336", revision="ce19dc912ca5cd21c8a653c79e251e808ccabcd1"),
        description="CLIP in transformers' format, with its tokenizer: a local folder, or a hub id at a pinned revision. "
        "The paper's is ViT-L/14 at 336 pixels.",
    )
    dims: Annotated[int, Field(ge=1)] = Field(768, description="Width of the checkpoint's embeddings.")


def _kind(value: Any) -> str | None:
    """Which of the models describes an extractor; `inception` where no name is given."""
    name = value.get("name", "inception") if isinstance(value, dict) else getattr(value, "name", None)
    return "inception" if name == "inception-random" else name if isinstance(name, str) else None


AnyExtractor = Annotated[
    Annotated[Inception, Tag("inception")] | Annotated[Dinov2, Tag("dinov2")] | Annotated[Clip, Tag("clip")],
    Discriminator(_kind),
]

Metric = Literal["fid", "kid", "precision_recall", "density_coverage", "cmmd", "clip_score"]
_IMAGE_FEATURES = ("inception", "inception-random", "dinov2")
SEEN_THROUGH: dict[str, tuple[str, ...]] = {
    "fid": _IMAGE_FEATURES,
    "kid": _IMAGE_FEATURES,
    "precision_recall": _IMAGE_FEATURES,
    "density_coverage": _IMAGE_FEATURES,
    "cmmd": ("clip",),
    "clip_score": ("clip",),
}
"""The extractors that each metric is computed from."""


def distance_name(extractor: str) -> str:
    """What the Fréchet distance through an extractor (name, or full name) is called."""
    return "FD-DINOv2" if extractor.startswith("dinov2") else "FID"


def needs_reference_images(metrics: list[Metric], extractor: AnyExtractor) -> bool:
    """Whether an extractor has to see the reference; CLIPScore looks at captions alone."""
    uses = [metric for metric in metrics if metric != "clip_score" and extractor.name in SEEN_THROUGH[metric]]
    return bool(uses) and extractor.reference_statistics is None


def check_metrics(metrics: list[Metric], extractors: list[AnyExtractor]) -> None:
    """Raises ValueError where a metric has nothing to be computed from."""
    if "fid" not in metrics:
        raise ValueError("metrics: fid is missing: the answer is made of it; write [fid, ...]")
    for metric in metrics:
        ours = [each for each in extractors if each.name in SEEN_THROUGH[metric]]
        if not ours:
            raise ValueError(
                f"metrics: {metric} needs an extractor with name: {' or '.join(SEEN_THROUGH[metric])}; there are only "
                f"{', '.join(each.name for each in extractors)}"
            )
        ready = [each.name for each in ours if each.reference_statistics is not None]
        if metric not in ("fid", "clip_score") and ready:
            raise ValueError(
                f"metrics: {metric} needs the features of the reference's images, of which reference_statistics of the "
                f"extractor {ready[0]} knows only mean and covariance; remove one of the two"
            )
