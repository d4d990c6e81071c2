"""The manifest of a shard: what generate_shard writes beside an archive, and everybody else reads."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from emudrift.generation.attempts import Attempt
from emudrift.runtime.json_files import load_record, write_json


class Manifest(BaseModel):
    """What an archive holds, and how it was made.

    Attributes:
        rows: of the prompts: first, and one past the last.
        settings: of the arm; its fingerprint is made of them.
        model_digest: sha256 over the model's files.
        revisions: commit of each part that was downloaded, by role.
        versions: of packages, by name.
        vq: digest of the VQ that decoded the tokens; None where there are none.
        batch_size: images that the arm puts together where that can change a pixel, else None.
        drawn_together: how many images were really drawn in batches of each size, as far as that can change a pixel.
        flagged: prompt_ids of images that a safety checker replaced.
        images_per_hour: 0 where no attempt made an image.
        sha256: of each image, by prompt_id.
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
    flagged: list[str] = []
    images_per_hour: float
    attempts: list[Attempt]
    sha256: dict[str, str]

    @property
    def devices(self) -> list[str]:
        """Those that images were drawn on."""
        return [attempt.device for attempt in self.attempts if attempt.images and attempt.device]

    @property
    def forced(self) -> int:
        """Images that were drawn with fewer neighbours than their arm fixed, because memory ran out."""
        return sum(count for size, count in self.drawn_together.items() if self.batch_size not in (None, size))


def write_manifest(path: Path, manifest: Manifest) -> None:
    write_json(path, manifest.model_dump(mode="json"))


def load_manifest(path: str | Path) -> Manifest:
    """Raises InputError, naming file and key, for a file that is no manifest."""
    return load_record(path, Manifest, "remove it with its archive and run again")


def load_manifests(paths: Iterable[str | Path]) -> list[Manifest]:
    return [load_manifest(path) for path in paths]
