"""The settings of one experiment: pydantic models of `config.yaml`."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from emudrift.config.base import GuidanceScale, Name, Settings, Text
from emudrift.config.extractors import AnyExtractor, Inception, Metric, check_metrics, needs_reference_images
from emudrift.config.human_evaluation import HumanEvaluation, check_human_evaluation
from emudrift.config.models import AnyModel, Emu3Model, FolderModel, TokenizerModel

# The authors' published recipe (FACTS of BAAI/Emu3-Gen's own inference script).
SUFFIX = " masterpiece, film grained, best quality."
NEGATIVE_PROMPT = (
    "lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped, worst quality, "
    "low quality, normal quality, jpeg artifacts, signature, watermark, username, blurry."
)


class Prompts(Settings):
    """Where the captions come from, and which caption of an image becomes its prompt."""

    source: Literal["coco", "karpathy", "table"] = Field(
        "coco", description="Format of the captions file: COCO captions JSON, Karpathy's dataset_coco.json, or a table."
    )
    captions: Text = Field(description="The captions file (JSON; for source: table also .csv, .jsonl or .parquet).")
    images: Text | None = Field(None, description="Folder of the dataset's real images; needed for reference: dataset.")
    splits: list[str] = Field([], description="Splits of Karpathy's file to use, for example [test].")
    caption: Literal["longest", "first", "random"] = Field(
        "longest", description="Which caption of an image is its prompt; longest is the published study's choice."
    )
    caption_column: str = Field("caption", description="Column of the captions (source: table).")
    image_id_column: str = Field("image_id", description="Column of the image ids (source: table).")
    file_name_column: str = Field("file_name", description="Column of the images' file names (source: table).")

    @model_validator(mode="after")
    def _splits_belong_to_karpathy(self) -> "Prompts":
        if (self.source == "karpathy") != bool(self.splits):
            raise ValueError("splits are needed with source: karpathy, for example [test], and with no other source")
        return self


class Generation(Settings):
    """What the generators draw with. Every key here can change a pixel."""

    width: Annotated[int, Field(ge=8)] = Field(512, description="Pixels; a multiple of 8.")
    height: Annotated[int, Field(ge=8)] = Field(512, description="Pixels; a multiple of 8.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Of the model's networks; the VQ stays in float32."
    )
    attention: Literal["sdpa", "flash", "eager", "flash_attention_2"] = Field(
        "sdpa",
        description="engine: grid knows sdpa (everywhere) and flash (torch's own variable-length FlashAttention; GPU, 16 bit); "
        "engine: reference knows sdpa, eager and flash_attention_2.",
    )
    engine: Literal["grid", "reference"] = Field(
        "grid", description="grid: one batched forward per token; reference: transformers' own generate, slow."
    )
    top_k: Annotated[int, Field(ge=1)] = Field(2048, description="Sample among the top_k likeliest visual tokens.")
    suffix: str = Field(SUFFIX, description="Appended to every caption (after one space is not added: write it).")
    suffix_overrides: dict[GuidanceScale, str] = Field(
        {}, description="Another suffix for single guidance scales. The published study did so; it confounds the two."
    )
    negative_prompt: str = Field(NEGATIVE_PROMPT, description="The unconditional half of guidance; carries the header.")

    def suffix_at(self, guidance_scale: float) -> str:
        """What is appended to captions at a guidance scale."""
        return self.suffix_overrides.get(guidance_scale, self.suffix)

    @model_validator(mode="after")
    def _engine_knows_attention(self) -> "Generation":
        known = {"grid": ("sdpa", "flash"), "reference": ("sdpa", "eager", "flash_attention_2")}[self.engine]
        if self.attention not in known:
            raise ValueError(
                f"engine: {self.engine} knows attention: {', '.join(known)}; {self.attention} belongs to the other engine"
            )
        if self.attention == "flash" and self.dtype == "float32":
            raise ValueError("attention: flash needs dtype: bfloat16 or float16; with float32 use attention: sdpa")
        return self

    @field_validator("width", "height")
    @classmethod
    def _multiple_of_eight(cls, value: int) -> int:
        if value % 8:
            raise ValueError(
                f"{value} is not a multiple of 8 (Emu3 draws tokens of 8 x 8 pixels); try {value // 8 * 8}"
            )
        return value


class Reference(Settings):
    """The real images that generated ones are compared with."""

    images: Text = Field("dataset", description="dataset (prompts.images), or a folder, .tar or .zip of images.")
    selection: Literal["full", "same", "both"] = Field(
        "full",
        description="full: all its images; same: only the N images whose captions were used; both: every FID with each of the "
        "two, and what the choice changes (metrics beyond FID: full).",
    )

    @model_validator(mode="after")
    def _same_needs_the_dataset(self) -> "Reference":
        if self.selection != "full" and self.images != "dataset":
            raise ValueError(f"selection: {self.selection} needs images: dataset, whose images belong to the captions")
        return self


class Resources(Settings):
    """What changes the speed and nothing else: a change here reruns nothing."""

    generation_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Images drawn together; auto: as many as the GPU's free memory takes (16 on a CPU)."
    )
    feature_batch_size: Annotated[int, Field(ge=1)] = Field(64, description="Images per step of the extractor.")


class Config(Settings):
    """One experiment."""

    name: Name = Field(description="Name of the experiment: its results lie in results/<name>/.")
    note: str = Field(
        "", description="Shown at the top of the report, for example what the numbers must not be used for."
    )
    seed: int = Field(0, ge=0, description="The only seed: order of the prompts, and the random numbers of each image.")
    prompts: Prompts
    models: Annotated[list[AnyModel], Field(min_length=1)] = Field(
        description="Who draws; each is drawn at every scale."
    )
    baseline: str | None = Field(None, description="Model that the others are compared with; default: the first.")
    guidance_scales: Annotated[list[GuidanceScale], Field(min_length=1)] = Field(
        [3.0], description="Of classifier-free guidance; 1 is without it. Model and scale make an arm."
    )
    generation: Generation = Field(default_factory=lambda: Generation())
    sample_sizes: Annotated[list[Annotated[int, Field(ge=10)]], Field(min_length=1)] = Field(
        description="The N for which FID is computed."
    )
    shard_size: Annotated[int, Field(ge=1)] = Field(500, description="Prompt rows per shard: one GPU job.")
    extractors: Annotated[list[AnyExtractor], Field(min_length=1)] = Field(
        [Inception()], description="The networks that images are compared through."
    )
    metrics: list[Metric] = Field(
        ["fid"],
        description="fid for every N; for the largest N also kid, precision_recall and density_coverage (of inception and "
        "dinov2), cmmd and clip_score (of clip).",
    )
    reference: Reference = Field(default_factory=lambda: Reference())
    human_evaluation: HumanEvaluation = Field(default_factory=lambda: HumanEvaluation())
    device: Literal["cuda", "cpu"] = Field("cuda", description="Where images are drawn and features are made.")
    resources: Resources = Field(default_factory=lambda: Resources())

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        once: list[tuple[str, list[Any]]] = [
            ("models: name", [m.name for m in self.models]),
            ("guidance_scales:", [f"{scale:g}" for scale in self.guidance_scales]),
            ("sample_sizes:", self.sample_sizes),
            ("extractors:", [e.model_dump_json() for e in self.extractors]),
            ("metrics:", self.metrics),
        ]
        for key, values in once:
            twice = sorted({str(v) for v in values if values.count(v) > 1})
            if twice:
                raise ValueError(f"{key} {', '.join(twice)} is given more than once; each must be unique")
        for model in self.models:
            if isinstance(model, TokenizerModel):
                drawing = [m.name for m in self.models if isinstance(m, Emu3Model)]
                if model.of not in drawing:
                    raise ValueError(f"models: {model.name}: of: {model.of!r} is no emu3 model; there are {drawing}")
                if self.prompts.images is None:
                    raise ValueError(f"models: {model.name}: needs prompts: images, the dataset's images")
        baseline = self.baseline or self.models[0].name
        if any(isinstance(model, TokenizerModel) and model.name == baseline for model in self.models):
            raise ValueError(f"baseline: {baseline!r} (default: the first model) draws nothing; name a model that does")
        if self.baseline is not None and self.baseline not in [m.name for m in self.models]:
            raise ValueError(f"baseline: {self.baseline!r} is none of the models {[m.name for m in self.models]}")
        for model in self.models:
            if isinstance(model, Emu3Model) and model.vq is not None:
                others = {m.name: m for m in self.models if isinstance(m, Emu3Model) and m.vq is None}
                if model.vq not in others:
                    raise ValueError(
                        f"models: {model.name}: vq: {model.vq!r} is no emu3 model with a VQ of its own; there are "
                        f"{sorted(others)}"
                    )
        if self.generation.attention == "flash" and self.device != "cuda":
            raise ValueError("generation: attention: flash needs device: cuda; on a CPU use attention: sdpa")
        check_metrics(self.metrics, self.extractors)
        needs_images = any(needs_reference_images(self.metrics, e) for e in self.extractors)
        if self.reference.images == "dataset" and self.prompts.images is None and needs_images:
            raise ValueError("reference: images: dataset needs prompts: images, the folder of the dataset's images")
        strangers = sorted(set(self.generation.suffix_overrides) - set(self.guidance_scales))
        if strangers:
            raise ValueError(f"generation: suffix_overrides: {strangers} are none of guidance_scales")
        drawers = [model for model in self.models if not isinstance(model, TokenizerModel)]
        of_folders = [m.guidance_scale for m in drawers if isinstance(m, FolderModel) and m.guidance_scale is not None]
        check_human_evaluation(
            self.human_evaluation,
            [model.name for model in drawers],
            [*self.guidance_scales, *of_folders],
            max(self.sample_sizes),
        )
        return self
