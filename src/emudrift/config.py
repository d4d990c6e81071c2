"""The settings of one experiment: pydantic models of `config.yaml`, and reading it with errors that a person can use."""

import difflib
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from emudrift.errors import InputError
from emudrift.extractor_settings import (
    EXTRACTORS,
    AnyExtractor,
    Inception,
    Metric,
    check_metrics,
    needs_reference_images,
)
from emudrift.human_settings import HumanEvaluation, check_human_evaluation
from emudrift.model_settings import CommandModel, DiffusersModel
from emudrift.settings import Checkpoint, GuidanceScale, Name, Settings, Text

REPOSITORY = Path(__file__).resolve().parents[2]

# The authors' published recipe (FACTS of BAAI/Emu3-Gen's own inference script).
SUFFIX = " masterpiece, film grained, best quality."
NEGATIVE_PROMPT = (
    "lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped, worst quality, "
    "low quality, normal quality, jpeg artifacts, signature, watermark, username, blurry."
)
GENERATORS = ("emu3", "folder", "diffusers", "command", "tokenizer")


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


class TokenizerModel(Settings):
    """The dataset's own images through a model's VQ and back: the best FID that the model's arms can reach."""

    name: Name
    generator: Literal["tokenizer"]
    of: str = Field(description="Name of the emu3 model whose VQ is used.")


AnyModel = Annotated[
    Emu3Model | FolderModel | DiffusersModel | CommandModel | TokenizerModel, Field(discriminator="generator")
]


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


def load_config(path: Path) -> Config:
    """Reads and checks a config file.

    Raises:
        InputError: the file is missing, is not YAML, or does not fit the models; every fault is listed with its key.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except OSError as error:
        raise InputError(f"{path}: cannot read the config file: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected keys and values such as 'name: my-experiment', found {type(data).__name__}")
    return parse_config(data, str(path))


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a key stand twice and takes the last; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def parse_config(data: dict[str, Any], where: str) -> Config:
    """Checks settings that are read already; `where` names their source in errors."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        # Unknown keys first: a misspelt key often explains why another is missing.
        errors = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        faults = [_describe(fault, where) for fault in errors]
        raise InputError("\n".join(dict.fromkeys(faults))) from error


def _describe(fault: Any, where: str) -> str:
    # A discriminated union puts its tag into the location: models.0.emu3.name.
    tags, parts = (*GENERATORS, *EXTRACTORS), fault["loc"]
    location = [p for i, p in enumerate(parts) if not (i and isinstance(parts[i - 1], int) and p in tags)]
    key = ": ".join(f"[{part}]" if isinstance(part, int) else str(part) for part in location)
    where = f"{where}: {key}" if key else where
    if fault["type"] == "extra_forbidden":
        known = _keys_at(fault["loc"][:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0)
        hint = f"did you mean {close[0]!r}?" if close else f"valid keys: {', '.join(known)}"
        return f"{where}: unknown key; {hint}"
    if fault["type"] == "missing":
        return f"{where}: this key is missing"
    if fault["type"].startswith("union_tag"):
        given = fault.get("ctx", {}).get("tag")
        said = "this key is missing" if given is None else f"{given!r} is unknown"
        if location[0] == "extractors":
            return f"{where}: name: {said}; one of {', '.join(EXTRACTORS)}"
        return f"{where}: generator: {said}; one of {', '.join(GENERATORS)}"
    message = fault["msg"].removeprefix("Value error, ")
    given = "" if fault["type"] == "value_error" else f" (found {fault['input']!r})"
    return f"{where}: {message}{given}"


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The valid keys at a place of the config, from the models' own annotations."""
    models: list[type[Settings]] = [Config]
    for part in location:
        if isinstance(part, int):
            continue
        tagged = [
            m for m in models for key in ("generator", "name") if key in m.model_fields and part in _literals(m, key)
        ]
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = tagged or [model for annotation in fields for model in _models_in(annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _literals(model: type[Settings], key: str) -> tuple[Any, ...]:
    return typing.get_args(model.model_fields[key].annotation)


def _models_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
