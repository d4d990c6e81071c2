"""The FID of one arm at one N: the number, its jackknife estimate and interval, and what differences are computed from."""

from collections.abc import Sequence

import numpy as np

from emudrift.config.experiment import Experiment, Selection
from emudrift.data.prompts import Prompt, load_prompts
from emudrift.data.reference_list import ListedImage, load_image_list
from emudrift.errors import InputError
from emudrift.evaluation.fid.frechet import project
from emudrift.evaluation.fid.parts import mean_part
from emudrift.evaluation.fid.record import FidEstimate, FidRecord, ReferenceRecord
from emudrift.evaluation.fid.resampling import Part, resample, resample_pairs
from emudrift.evaluation.intervals import FIXED, PAIRED, block_edges, enough_images, fid_infinity, jackknife
from emudrift.features.feature_files import load_features
from emudrift.features.statistics import ReferenceRoot, load_reference_root


def compute_fid(features: np.ndarray, reference: ReferenceRoot | np.ndarray) -> FidEstimate:
    """FID of features (n, d), in row order, against a reference.

    Args:
        reference: the root of fixed statistics; or (n, d) features of the real images of the same captions, which are left
            out of the jackknife together with their images.

    Raises:
        InputError: features that are not finite or of other dimensions than the reference.
    """
    edges, (n, d) = block_edges(len(features)), features.shape
    fixed = isinstance(reference, ReferenceRoot)
    if isinstance(reference, ReferenceRoot):
        fids = resample(Part(project(features, reference), slice(0, n)), edges)
    else:
        fids = resample_pairs(features, reference, edges)
    estimate, infinity = jackknife(fids.full, fids.without, edges), None
    if fids.halves is not None and fids.halves_without is not None:
        infinity = fid_infinity(fids.full, fids.without, fids.halves, fids.halves_without, edges)
    return FidEstimate(
        n=n,
        dims=d,
        fid=fids.full,
        leave_one_out=_numbers(fids.without) or [],
        halves=_numbers(fids.halves),
        halves_leave_one_out=_numbers(fids.halves_without),
        random_halves=fids.random_halves.tolist(),
        means=mean_part(features, reference, edges),
        fid_jackknife=estimate.estimate,
        low=estimate.low,
        high=estimate.high,
        confidence=estimate.confidence,
        method=f"{estimate.method}; {FIXED if fixed else PAIRED}",
        fid_infinity=infinity and infinity.estimate,
        fid_infinity_low=infinity and infinity.low,
        fid_infinity_high=infinity and infinity.high,
        fid_infinity_method=infinity and infinity.method,
        reliable=enough_images(n, d),
    )


def _numbers(values: np.ndarray | None) -> list[float] | None:
    return None if values is None else [float(each) for each in values]


def fid_of_arm(experiment: Experiment, extractor_name: str, selection: Selection, arm_name: str, n: int) -> FidRecord:
    """The FID of an arm's first n images, from the features on the disk.

    Raises:
        InputError: features or the reference are missing or do not fit.
    """
    arm, extractor = experiment.arm(arm_name), experiment.extractor(extractor_name)
    features = load_features(experiment.feature_files(extractor_name, arm_name, n), n)
    reference_n: int | None = n
    if selection == "same":
        found = compute_fid(features, same_images(experiment, extractor_name, n))
    else:
        reference = load_reference_root(
            experiment.paths.reference_statistics(experiment.reference_key(extractor)), extractor.dims
        )
        found, reference_n = compute_fid(features, reference), reference.n
    return FidRecord(
        arm=arm.name,
        model=arm.model,
        guidance_scale=arm.guidance_scale,
        extractor=extractor_name,
        extractor_settings=extractor.feature_settings(experiment),
        weights=extractor.weights_label(experiment),
        reference=ReferenceRecord(**experiment.describe_reference(extractor, selection), n=reference_n),
        **dict(found),
    )


def same_images(experiment: Experiment, extractor_name: str, n: int) -> np.ndarray:
    """Features (n, d) of the real images whose captions were used, in row order. Raises InputError where they are missing."""
    features = experiment.paths.reference_features(experiment.reference_key(experiment.extractor(extractor_name)))
    prompts = load_prompts(experiment.paths.prompts)[:n]
    return features_of_same_images(prompts, load_image_list(experiment.reference_list), load_features([features]))


def features_of_same_images(
    prompts: Sequence[Prompt], listed: Sequence[ListedImage], features: np.ndarray
) -> np.ndarray:
    """Features (N, d) of the real images whose captions were used, in the order of the prompts.

    Args:
        prompts: the first N rows.
        listed: the reference images, one per row of `features`.
        features: (len(listed), d).

    Raises:
        InputError: the list does not fit the features, or lacks an image of a prompt.
    """
    if len(listed) != len(features):
        raise InputError(
            f"the reference list has {len(listed):,} images, its features {len(features):,}: remove both, run again"
        )
    places = {image.file_name: place for place, image in enumerate(listed)}
    missing = [prompt.file_name for prompt in prompts if prompt.file_name not in places]
    if missing:
        raise InputError(
            f"reference: same: {len(missing):,} images of prompts are not among the references: {missing[:5]}"
        )
    return features[[places[prompt.file_name] for prompt in prompts]]
