"""The prompts of an experiment, and the real images that generated ones are compared with."""

from typing import Literal

from pydantic import Field, model_validator

from emudrift.config.base import Settings, Text


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
    group_column: Text | None = Field(
        None,
        description="Column of what prompts share, such as a theme or a template (source: table): prompts of one group are left "
        "out together, so that intervals count what they share. Default: those of one image.",
    )

    @model_validator(mode="after")
    def _splits_belong_to_karpathy(self) -> "Prompts":
        if (self.source == "karpathy") != bool(self.splits):
            raise ValueError("splits are needed with source: karpathy, for example [test], and with no other source")
        if self.group_column is not None and self.source != "table":
            raise ValueError("group_column needs source: table; in other sources prompts of one image are a group")
        return self


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
