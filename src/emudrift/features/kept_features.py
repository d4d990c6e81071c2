"""Features that no rule declares: Snakemake deletes its outputs before it runs a job again, for whatever reason.

A repeated job takes them if images, weights, packages and code are the same, and computes them otherwise.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from emudrift.config.experiment import Experiment
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import atomic_path, check_sha256
from emudrift.runtime.json_files import load_record, write_json

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "transformers", "numpy", "pillow")
"""Packages that a feature may depend on."""
_CODE = (Path(__file__).parent, Path(__file__).parents[1] / "data")


class MadeOf(BaseModel):
    """What features depend on, apart from the settings in the extractor's name.

    Attributes:
        images: sha256 over the images, in order.
        weights: sha256 over the extractor's files.
        versions: of packages, by name.
        code: sha256 over this package's own modules.
    """

    model_config = ConfigDict(frozen=True)

    images: str
    weights: str
    versions: dict[str, str]
    code: str


def made_of(
    experiment: Experiment, extractor: str, images: Mapping[str, str], prompt_ids: Sequence[str]
) -> MadeOf | None:
    """What a shard's features are made of; None for a user's own extractor, which may read anything.

    Args:
        extractor: full name.
        images: sha256 of each image, by prompt_id.
        prompt_ids: in row order.

    Raises:
        InputError: a file of the weights cannot be read.
    """
    settings = experiment.extractor(extractor)
    if settings.plugin:
        return None
    code = [path for folder in _CODE for path in sorted(folder.glob("*.py"))]
    return MadeOf(
        images=hashlib.sha256("\n".join(images[prompt_id] for prompt_id in prompt_ids).encode()).hexdigest(),
        weights=_sha256_over(settings.weights_files(experiment)),
        versions={name: version(name) for name in PACKAGES},
        code=_sha256_over(code),
    )


def take_kept(path: Path, kept: Path, wanted: MadeOf | None) -> bool:
    """Puts kept features in their place if they are undamaged and made of the same; whether it did."""
    record = kept.with_suffix(".json")
    if wanted is None or not kept.exists() or not record.exists():
        return False
    try:
        check_sha256(kept)
        found = load_record(record, MadeOf, "it is written again")
    except InputError as error:
        logger.warning("%s", error)
        return False
    if found != wanted:
        logger.info("%s: images, weights, packages or code have changed since", kept)
        return False
    with atomic_path(path, checksum=True) as temporary:
        _link(kept, temporary)
        os.utime(temporary)  # As new as Snakemake expects of what a job has just made.
    return True


def keep(path: Path, kept: Path, made: MadeOf | None) -> None:
    """Gives features a second name, and a record of what they are made of."""
    if made is None:
        return
    kept.with_suffix(".json").unlink(missing_ok=True)
    with atomic_path(kept, checksum=True) as temporary:
        _link(path, temporary)
    write_json(kept.with_suffix(".json"), made.model_dump())


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:  # No hard links here: features are small beside their images.
        shutil.copyfile(source, path)


def _sha256_over(files: Sequence[Path]) -> str:
    sums = {}
    for path in files:
        try:
            with path.open("rb") as file:
                sums[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
