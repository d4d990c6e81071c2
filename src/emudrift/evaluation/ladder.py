"""The ladder: what known degradations cost real images, in units of the distance through one extractor."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat

from emudrift.config.experiment import Experiment
from emudrift.evaluation.blocks import block_edges
from emudrift.evaluation.fid.frechet import fid
from emudrift.evaluation.intervals import (
    CONFIDENCE,
    MIN_N_PER_DIMENSION,
    Estimate,
    enough_images,
    jackknife,
    mean_interval,
    t_interval,
)
from emudrift.features.degradations import STEPS, Degradation
from emudrift.features.statistics import Array, ReferenceRoot, reference_root, statistics
from emudrift.runtime.json_files import load_record

SHARES = (5, 10, 20)
"""Steps of diversity: as if a model only knew one in so many of the real images."""


class Rung(BaseModel):
    """One step: its distance from the real images as they are, with its interval.

    `level`: the quality, the radius, or how many real images.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["jpeg", "blur", "diversity", "real"]
    level: FiniteFloat
    label: str
    distance: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class LadderRecord(BaseModel):
    """What `reference_ladder` writes: `n` of the `reference_n` real images were degraded; `reliable` as for a FID of n images."""

    model_config = ConfigDict(frozen=True)

    n: int
    reference_n: int
    dims: int
    reliable: bool
    confidence: FiniteFloat
    rungs: list[Rung]


def chosen_rows(available: int, dims: int) -> Array:
    """Which reference images are degraded: as many as a finding would need, in random order; the same in every run."""
    n = min(available, math.ceil(MIN_N_PER_DIMENSION * dims))
    return np.random.default_rng(0).permutation(available)[:n]


def ladder(
    features: Array, rows: Array, reference: ReferenceRoot, degraded: Callable[[Degradation], Array]
) -> LadderRecord:
    """The whole ladder.

    - Degraded real images are compared with the same real images as they are; the jackknife leaves out both together, so neither
      the finite n nor the choice of real images adds a distance.
    - Fewer different real images are compared with the whole reference: what is missing is diversity, in a model that repeats
      them for ever.
    - Real against real: the real images that are degraded, against all others. Its true value is 0, so it is not corrected: what
      is left is what n alone adds.

    Args:
        features: (M, d) of the reference.
        rows: (n,) of those that are degraded, from `chosen_rows`.
        reference: statistics of all M.
        degraded: gives features (n, d) of these images after a degradation.
    """
    plain, (m, dims) = features[rows], features.shape
    edges, found = block_edges(len(rows)), []
    for step in STEPS:
        found.append(_rung(step.kind, step.level, step.label, _cost(degraded(step), plain, edges)))
    found += [_diversity(plain, reference, len(rows) // share) for share in SHARES if len(rows) // share > 1]
    others = np.delete(features, rows, axis=0)
    if len(others) >= len(rows):
        root = _root(others)
        error, whole = _jackknifed(lambda kept: fid(plain[kept], root), edges)
        estimate = t_interval(whole, error.standard_error, error.degrees, error.confidence, error.method)
        found.append(_rung("real", len(rows), f"{len(rows):,} other real images", estimate))
    return LadderRecord(
        n=len(rows),
        reference_n=m,
        dims=dims,
        reliable=enough_images(len(rows), dims),
        confidence=CONFIDENCE,
        rungs=found,
    )


def _root(features: Array) -> ReferenceRoot:
    return reference_root(statistics(features))


def _cost(degraded: Array, plain: Array, edges: Array) -> Estimate:
    """The distance between images (n, d) before and after a degradation, which are left out together."""
    return _jackknifed(lambda kept: fid(degraded[kept], _root(plain[kept])), edges)[0]


def _jackknifed(distance: Callable[[Array], float], edges: Array) -> tuple[Estimate, float]:
    """The bias-corrected distance with its interval, and the plain one, of a function of the rows that are kept."""
    rows = np.arange(edges[-1])
    whole = distance(rows)
    without = np.array([distance(np.delete(rows, np.s_[a:b])) for a, b in pairwise(edges)])
    return jackknife(whole, without, edges), whole


def _diversity(plain: Array, reference: ReferenceRoot, size: int) -> Rung:
    """The mean over disjoint sets of so many real images."""
    sets = [plain[start : start + size] for start in range(0, len(plain) - size + 1, size)]
    estimate = mean_interval(np.array([fid(each, reference) for each in sets]))
    return _rung("diversity", size, f"only {size:,} different real images", estimate)


def _rung(
    kind: Literal["jpeg", "blur", "diversity", "real"],
    level: float,
    label: str,
    found: Estimate,
) -> Rung:
    """A distance is at least 0, and so are the ends of its interval."""
    low, distance, high = (max(each, 0.0) for each in (found.low, found.estimate, found.high))
    return Rung(kind=kind, level=level, label=label, distance=distance, low=low, high=high)


def load_ladders_of_sets(experiment: Experiment) -> dict[str, dict[str, LadderRecord]]:
    """By set of prompts, those that have one; then by extractor. Raises InputError as `load_ladders`."""
    found = {name: load_ladders(view) for name, view in experiment.sets.items()}
    return {name: ladders for name, ladders in found.items() if ladders}


def load_ladders(experiment: Experiment) -> dict[str, LadderRecord]:
    """The ladder of each extractor that has one, by full name. Raises InputError where a file is missing or broken."""
    remedy = "remove the file and run reference_ladder again"
    return {name: load_record(path, LadderRecord, remedy) for name, path in experiment.ladders().items()}
