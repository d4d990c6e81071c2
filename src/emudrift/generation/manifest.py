"""The manifest of a shard: written by generate_shard next to the archive, and read by all later steps."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from emudrift.config.base import listing
from emudrift.generation.attempts import Attempt
from emudrift.runtime.json_files import load_record, write_json


class Taken(BaseModel):
    """Images that were taken from an existing archive: how many, and with what they had been generated."""

    model_config = ConfigDict(frozen=True)

    images: int
    devices: list[str]
    versions: dict[str, str]


class Manifest(BaseModel):
    """The contents of an archive, and how it was generated.

    Attributes:
        rows: of the prompts: first, and one past the last.
        settings: of the arm; its fingerprint is computed from them.
        model_digest: sha256 over the model's files.
        revisions: commit of each downloaded part, by role.
        versions: of packages, by name.
        vq: digest of the VQ that decoded the tokens; None without tokens.
        batch_size: batch size fixed for the arm if it can affect pixels, else None.
        drawn_together: number of images by effective batch size, where it can affect pixels.
        attention: kernel for attention fixed for the arm if it can affect pixels; None also in manifests of version 0.2.
        flagged: prompt_ids of images that were replaced by a safety checker.
        captions_cut: number of captions that a text encoder cut, by encoder and length.
        warnings: of the libraries that generated, where they tell of other images than those that were asked for.
        images_per_hour: 0 if no attempt generated an image.
        sha256: of each image, by prompt_id.
        archive_sha256: of the archive; None in manifests of version 0.3 and older.
        taken: images that were not generated for this archive.
    """

    model_config = ConfigDict(frozen=True)

    arm: str
    rows: tuple[int, int]
    n_images: int
    fingerprint: str
    settings: dict[str, Any]
    model_digest: str
    revisions: dict[str, str | None]
    versions: dict[str, str]
    vq: str | None
    batch_size: int | None
    drawn_together: dict[int, int]
    attention: str | None = None
    flagged: list[str] = []
    captions_cut: dict[str, int] = {}
    warnings: list[str] = []
    images_per_hour: float
    attempts: list[Attempt]
    sha256: dict[str, str]
    archive_sha256: str | None = None
    taken: list[Taken] = []

    @property
    def devices(self) -> list[str]:
        """The devices on which images were generated."""
        own = [attempt.device for attempt in self.attempts if attempt.images and attempt.device]
        return own + [device for each in self.taken for device in each.devices if device not in own]

    @property
    def attention_used(self) -> str | None:
        """The kernel for attention that the images were generated with, if the model has a choice."""
        stated: str | None = self.settings.get("attention")
        return self.attention or stated

    @property
    def forced(self) -> int:
        """Number of images generated in smaller batches than fixed for the arm, because memory ran out."""
        return sum(count for size, count in self.drawn_together.items() if self.batch_size not in (None, size))


def cut_words(cut: Mapping[str, int], captions: int) -> str:
    """How many of an arm's captions its text encoders cut: `of 500 captions, tokenizer (77 tokens) cuts 12; …`."""
    each = listing(f"{encoder} cuts {count:,}" for encoder, count in cut.items())
    return f"of {captions:,} captions, {each}; what comes after that does not reach the encoder"


def write_manifest(path: Path, manifest: Manifest) -> None:
    write_json(path, manifest.model_dump(mode="json"))


def load_manifest(path: str | Path) -> Manifest:
    """Loads a manifest. Raises InputError, naming file and key, if it is invalid."""
    return load_record(path, Manifest, "remove it and run again: the images next to it are kept")


def load_manifests(paths: Iterable[str | Path]) -> list[Manifest]:
    return [load_manifest(path) for path in paths]
