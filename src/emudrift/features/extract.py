"""Features of the generated images of several shards: computed where they are not there yet, or made of something else.

No rule declares them: Snakemake deletes the outputs of a job before it runs it again, for whatever reason. A repeated job, or
one that has a shard more, takes the features of a shard if images, weights, packages and code are the same.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.data.prompts import load_prompts
from emudrift.errors import InputError
from emudrift.features.feature_files import write_features
from emudrift.features.registry import load_extractor
from emudrift.generation.archives import read_images
from emudrift.generation.manifest import load_manifest
from emudrift.runtime.atomic_files import check_sha256, checksum_file, sha256_of
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

    images: str = ""
    weights: str
    versions: dict[str, str]
    code: str

    def of(self, images: Iterable[str]) -> "MadeOf":
        """The same of images with these sha256."""
        return self.model_copy(update={"images": hashlib.sha256("\n".join(images).encode()).hexdigest()})


class Extracted(BaseModel):
    """What a job declares: the sha256 of the features of each of its shards, by the shard's name."""

    model_config = ConfigDict(frozen=True)

    features: dict[str, str]


def extract_features(experiment: Experiment, extractor_name: str, arm: str, job: RowRange, batch_size: int) -> None:
    """Makes the features of all of the arm's shards in a range of rows, then the record that the rule declares.

    Raises:
        InputError: a manifest, an image or the extractor's weights cannot be used, or the disk is full.
    """
    experiment = experiment.set_of(arm)
    paths, prompts = experiment.paths, load_prompts(experiment.paths.prompts)
    made = made_of(experiment, extractor_name)
    extractor = functools.cache(lambda: load_extractor(experiment, extractor_name))
    sums = {}
    for shard in experiment.shards_in(job):
        path, record = (each(extractor_name, arm, shard.name) for each in (paths.features, paths.features_record))
        label = f"{arm} {shard.name} {extractor_name}"
        wanted = [prompt.prompt_id for prompt in prompts[shard.start : shard.stop]]
        images = load_manifest(paths.manifest(arm, shard.name)).sha256
        of_these = made and made.of(images.get(prompt_id, "") for prompt_id in wanted)
        if are_there(path, record, of_these):
            logger.info("%s: the features of the same images exist; nothing is computed", label)
        else:
            record.unlink(missing_ok=True)
            members = read_images(paths.archive(arm, shard.name), wanted, images)
            write_features(path, members, len(wanted), extractor(), batch_size, label)
            if of_these is not None:
                write_json(record, of_these.model_dump())
        sums[shard.name] = sha256_of(path)
    write_json(paths.extracted(extractor_name, arm, job.name), Extracted(features=sums).model_dump())


def made_of(experiment: Experiment, extractor: str) -> MadeOf | None:
    """What features are made of, apart from the images; None for a user's own extractor, which may read anything.

    Args:
        extractor: full name.

    Raises:
        InputError: a file of the weights cannot be read.
    """
    settings = experiment.extractor(extractor)
    if settings.plugin:
        return None
    code = [path for folder in _CODE for path in sorted(folder.glob("*.py"))]
    return MadeOf(
        weights=_sha256_over(settings.weights_files(experiment)),
        versions={name: version(name) for name in PACKAGES},
        code=_sha256_over(code),
    )


def are_there(path: Path, record: Path, wanted: MadeOf | None) -> bool:
    """Whether features are undamaged, and made of what is wanted."""
    if wanted is None or not all(each.exists() for each in (path, checksum_file(path), record)):
        return False
    try:
        check_sha256(path)
        found = load_record(record, MadeOf, "it is written again")
    except InputError as error:
        logger.warning("%s", error)
        return False
    if found != wanted:
        logger.info("%s: images, weights, packages or code have changed since", path)
    return found == wanted


def _sha256_over(files: Sequence[Path]) -> str:
    sums = {path.name: sha256_of(path) for path in files}
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
