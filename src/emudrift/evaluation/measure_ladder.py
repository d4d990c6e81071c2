"""The ladder of a reference: its images are degraded in known ways, and what that costs is measured. Runs on a CPU."""

import numpy as np

from emudrift.config.experiment import Experiment
from emudrift.data.image_sources import iterate_images
from emudrift.data.reference_list import load_image_list
from emudrift.evaluation.ladder import chosen_rows, ladder
from emudrift.features.degradations import Degradation
from emudrift.features.feature_files import compute_features, load_features
from emudrift.features.registry import load_extractor
from emudrift.features.statistics import load_reference_root
from emudrift.runtime.json_files import write_json


def measure_ladder(experiment: Experiment, extractor_name: str, batch_size: int) -> None:
    """Measures the ladder through one extractor and writes it. Raises InputError where images or features cannot be used."""
    settings = experiment.extractor(extractor_name)
    key = experiment.reference_key(settings)
    features = load_features([experiment.paths.reference_features(key)])
    reference = load_reference_root(experiment.paths.reference_statistics(key), settings.dims)
    rows = chosen_rows(*features.shape)
    listed = load_image_list(experiment.reference_list)
    members = [listed[row].member for row in rows]
    extractor = load_extractor(experiment, extractor_name, "cpu")

    def degraded(step: Degradation) -> np.ndarray:
        images = map(step.apply, iterate_images(experiment.reference_images, members))
        return compute_features(images, len(members), extractor, batch_size, step.label)

    found = ladder(features, rows, reference, degraded)
    write_json(experiment.paths.ladder(key), found.model_dump(mode="json"))
