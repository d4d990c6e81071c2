"""FID as an entry of the registry of metrics. It is computed for every N, by `fid.py`, with separate tables."""

import numpy as np

from emudrift.config.metrics import Metric


def fid(generated: np.ndarray, real: np.ndarray) -> float:
    """The plain FID of features (n, d) and (m, d)."""
    from emudrift.evaluation.fid import frechet
    from emudrift.features.statistics import reference_root, statistics

    return frechet.fid(generated, reference_root(statistics(real)))


METRIC = Metric(
    name="fid",
    label="FID",
    function=fid,
    higher_is_better=False,
    corrects_bias=True,
    formula="Fréchet distance between Gaussians fitted to the features",
    citation="Heusel et al., 2017",
)
