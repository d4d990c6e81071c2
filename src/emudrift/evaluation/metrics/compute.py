"""Metrics beyond FID, from features that are on the disk already: their values, and intervals that hold the reference fixed.

Intervals come from the same 20 blocks of prompts as FID's. KID and CMMD are smooth in their blocks: value and interval are
the jackknife's, bias-corrected (the biased CMMD falls by some 1 / N). Precision, recall, density and coverage mean something
at one N only (coverage grows with N), so they keep their plain value, and the jackknife gives the standard error alone.

Measured by bench/metrics.py (16 dimensions, N = 400, 200 samples; claimed over true standard error, coverage of nominal .95):
    kid 1.07, .95; cmmd 1.08, .97; precision .99, .96; density 1.07, .98; recall 1.58, .99; coverage 1.60, 1.00
    paired differences: .99, .96; 1.02, .97; 1.01, .94; .99, .94; 1.55, .99; 1.55, 1.00
Recall and coverage depend on the generated images through their neighbours, not one by one, and there the jackknife errs
on the safe side (Efron & Stein 1981): their intervals are too wide by half.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from emudrift.evaluation.intervals import block_edges
from emudrift.evaluation.metrics import mmd, precision_recall

REFERENCE_SEED = 0
LOWER_IS_BETTER = ("kid", "cmmd")

SHARES = ("precision", "recall", "coverage")

FIXED = "the reference held fixed"
PAIRED = "real images left out with those drawn for their captions"


@dataclass(frozen=True)
class Measured:
    """One metric of one set of images.

    Attributes:
        value: by the paper's formula.
        leave_one_out: the value without each block of prompts.
        corrected: whether the jackknife's bias correction belongs to it.
        method: how its interval is made.
        reference_n: real images that it is made from.
    """

    metric: str
    value: float
    leave_one_out: list[float]
    corrected: bool
    method: str
    reference_n: int


def compute_metric(metric: str, generated: np.ndarray, real: np.ndarray, paired: bool = False) -> list[Measured]:
    """The metrics of one name (precision_recall gives two) of generated (n, d) and real (m, d) features.

    Args:
        metric: kid, cmmd, precision_recall or density_coverage.
        paired: row i of both belongs to the same prompt (reference: same).

    Raises:
        InputError: too few images.
    """
    edges = block_edges(len(generated))
    if metric in ("kid", "cmmd"):
        if metric == "cmmd":
            generated, real = mmd.unit_length(generated), mmd.unit_length(real)
        function = mmd.polynomial if metric == "kid" else mmd.gaussian
        scale = 1.0 if metric == "kid" else mmd.SCALE
        value_of = partial(
            mmd.kernel_sums(generated, real, function, edges, paired).mmd, metric == "kid", paired=paired
        )
        without = [scale * value_of(without=block) for block in range(len(edges) - 1)]
        method = f"delete-one-block jackknife, {len(without)} blocks, t interval; {PAIRED if paired else FIXED}"
        return [Measured(metric, scale * value_of(), without, True, method, len(real))]
    names = metric.split("_")
    chosen = real if len(real) <= len(generated) else real[_subset(len(real), len(generated))]
    found = {
        "precision_recall": precision_recall.precision_recall,
        "density_coverage": precision_recall.density_coverage,
    }[metric](generated, chosen, edges)
    k = precision_recall.PRECISION_K if metric == "precision_recall" else precision_recall.DENSITY_K
    method = (
        f"k = {k}; plain value with the standard error of a block jackknife, {len(edges) - 1} blocks, t interval; {FIXED}: "
        f"{len(chosen):,} of {len(real):,} real images"
    )
    return [
        Measured(name, each.value, [float(value) for value in each.without], False, method, len(chosen))
        for name, each in zip(names, found, strict=True)
    ]


def _subset(total: int, n: int) -> np.ndarray:
    """Rows of as many real images as there are generated ones: the same for all arms, and nested in n."""
    return np.sort(np.random.default_rng(REFERENCE_SEED).permutation(total)[:n])
