"""Features and statistics of the reference images, once for all experiments that use them."""

from emudrift.config.experiment import Experiment
from emudrift.data.image_sources import iterate_images
from emudrift.data.reference_list import load_image_list
from emudrift.features.feature_files import load_features, write_features
from emudrift.features.registry import load_extractor
from emudrift.features.statistics import load_statistics, statistics, write_statistics


def extract_reference_features(experiment: Experiment, extractor_name: str, batch_size: int) -> None:
    """Extracts the features of all images of the reference's list.

    Raises:
        InputError: an image or the extractor's weights cannot be used, or the disk is full.
    """
    path = experiment.paths.reference_features(experiment.reference_key(experiment.extractor(extractor_name)))
    members = [image.member for image in load_image_list(experiment.reference_list)]
    images = iterate_images(experiment.reference_images, members)
    extractor = load_extractor(experiment, extractor_name)
    write_features(path, images, len(members), extractor, batch_size, "reference")


def write_reference_statistics(experiment: Experiment, extractor_name: str) -> None:
    """Writes mean and covariance of the reference's features, or ready statistics. Raises InputError where these do not fit."""
    extractor = experiment.extractor(extractor_name)
    key, ready = experiment.reference_key(extractor), extractor.ready_statistics
    if ready is None:
        found = statistics(load_features([experiment.paths.reference_features(key)]))
    else:
        found = load_statistics(experiment.path(ready), extractor.dims)
    source = experiment.describe_reference(extractor, "full") | {"extractor": extractor.feature_settings(experiment)}
    write_statistics(experiment.paths.reference_statistics(key), found, source)
