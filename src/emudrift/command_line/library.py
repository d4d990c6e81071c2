"""Functions for notebooks and programs of a user's own: extractors and distances without an experiment."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emudrift.command_line.inception_weights import extractor_entry
from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.data.image_sources import iterate_images, scan_reference_images
from emudrift.evaluation.blocks import most_blocks, prompt_blocks, reference_blocks
from emudrift.evaluation.fid.arrays import compare_arrays
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.frechet import fid as fid_of_root
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.evaluation.tables import COMPARISON_COLUMNS, FID_COLUMNS, load_table
from emudrift.features import registry
from emudrift.features.feature_files import compute_features
from emudrift.features.statistics import reference_root, statistics

compare_features = compare_arrays


class Interval(NamedTuple):
    """An estimate that is corrected for its finite-sample bias, and its 95 % interval."""

    estimate: float
    low: float
    high: float


def load_extractor(
    name: str = "inception", dims: int | None = None, weights: str | Path | None = None, device: str = "cpu"
) -> registry.Extractor:
    """Loads a feature extractor, with the preprocessing that a config has by default.

    Args:
        name: inception, inception-random (a stand-in whose numbers mean nothing) or dinov2.
        dims: length of a feature vector; default: 2,048 for Inception, 1,024 for DINOv2.
        weights: file of the published Inception weights, or folder of a DINOv2 checkpoint.
        device: cpu or cuda.

    Raises:
        InputError: the extractor is unknown, its weights are not here, or the device is not there.
    """
    entry = extractor_entry(name, dims, None if weights is None else Path(weights), Path.cwd())
    # A config is what an extractor is read from; of this one nothing else is used.
    config = parse_config(
        {
            "name": "library",
            "prompts": {"source": "table", "captions": "none.csv"},
            "models": [{"name": "none", "generator": "folder", "images": "none"}],
            "sample_sizes": [10],
            "extractors": [entry],
            "reference": {"images": "none"},
            "device": device,
        },
        "load_extractor",
    )
    experiment = Experiment(config, Path.cwd() / "none.yaml")
    return registry.load_extractor(experiment, experiment.extractor_names[0])


def extract_features(
    images: str | Path, extractor: registry.Extractor, batch_size: int = 32
) -> tuple[list[str], np.ndarray]:
    """The features of all images of a folder, .tar or .zip.

    Returns:
        Names of the images, sorted, and their features (n, d), float32, in the same order.

    Raises:
        InputError: there are no images, or one is damaged.
    """
    names = scan_reference_images(images)
    return names, compute_features(iterate_images(images, names), len(names), extractor, batch_size, str(images))


def fid(features: np.ndarray, reference: np.ndarray) -> float:
    """The plain Fréchet distance (Heusel et al., 2017) of features (n, d) from those of real images (m, d).

    Its bias grows as n shrinks: compare models at the same n, better with `compare_features`.

    Raises:
        InputError: arrays that do not fit, are not finite, or have fewer than 2 rows.
    """
    return fid_of_root(features, reference_root(statistics(reference)))


def fid_interval(features: np.ndarray, reference: np.ndarray) -> Interval:
    """The bias-corrected distance with a 95 % interval, from blocks of both samples left out in turn (docs/statistics.md).

    Args:
        features: (n, d), rows in random order.
        reference: (m, d).

    Raises:
        InputError: as `fid`; or fewer than 4 rows.
    """
    blocks = prompt_blocks(len(features), blocks=most_blocks(len(reference)))
    found = compute_fid(features, Sample(reference, reference_blocks(len(reference), blocks)), blocks)
    return Interval(found.fid_jackknife, found.low, found.high)


def load_tables(config: str | Path) -> dict[str, pd.DataFrame]:
    """The tables of a finished experiment: `fid` (docs/protocol.md), and `comparison`, which has a row per model and N.

    Raises:
        InputError: the config is wrong, or the experiment is not finished.
    """
    paths: Any = Experiment.load(config).paths
    return {
        "fid": load_table(paths.fid_table, FID_COLUMNS),
        "comparison": load_table(paths.comparison_table, COMPARISON_COLUMNS),
    }
