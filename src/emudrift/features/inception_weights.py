"""Checks that the file with the published Inception weights exists and is complete, without importing torch (slow)."""

import hashlib
from pathlib import Path

from emudrift.config.experiment import Experiment
from emudrift.config.extractors import INCEPTION_SHA256, Inception
from emudrift.errors import InputError


def check(settings: Inception, experiment: Experiment) -> None:
    """Raises InputError if the extractor uses a weights file that is missing or has the wrong checksum."""
    weights = settings.weights_file(experiment)
    if weights is not None:
        check_weights(weights, settings.sha256)


def check_weights(path: str | Path, sha256: str = INCEPTION_SHA256) -> None:
    """Raises InputError if the weights file is missing or has another sha256."""
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise InputError(
            f"{path}: cannot read the Inception weights: {(error.strerror or str(error)).lower()}"
        ) from error
    if found != sha256:
        raise InputError(
            f"{path}: not the expected Inception weights, or only a part of them: sha256 {found} ({size:,} bytes), "
            f"expected {sha256}; download the file again, or set extractors: sha256 if another file is meant"
        )
