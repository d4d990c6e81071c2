"""`compare`: the verdict on two or more folders of images, as a function and as `emudrift compare`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from emudrift.command_line.comparison_config import Settings, write_comparison
from emudrift.command_line.image_sets import Pairing, find_sets
from emudrift.command_line.in_process import run_in_process
from emudrift.command_line.inception_weights import extractor_entry
from emudrift.errors import InputError
from emudrift.evaluation.intervals import MIN_N_PER_DIMENSION
from emudrift.evaluation.ladder import load_ladders
from emudrift.evaluation.tables import COMPARISON_COLUMNS, FID_COLUMNS, load_table
from emudrift.report.answer.verdict import Verdict, verdict
from emudrift.runtime.json_files import write_json


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        verdict: the answer in words, with its caveats.
        differences: one row for each model, extractor and N: the columns of comparison.csv.
        fids: one row for each set of images, extractor and N: the columns of fid.csv.
        report: the page, with figures and all images side by side.
        config: the experiment that was made of the folders; `snakemake` goes on with it.
    """

    verdict: Verdict
    differences: pd.DataFrame
    fids: pd.DataFrame
    report: Path
    config: Path

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON; None where a number is not known."""
        return {
            "verdict": self.verdict.lead,
            "statements": [
                {"text": each.text, "finding": each.finding, "random_weights": each.random_weights}
                for each in self.verdict.statements
            ],
            "caveats": list(self.verdict.caveats),
            "sizes": list(self.verdict.sizes),
            "differences": _records(self.differences),
            "fids": _records(self.fids),
            "report": str(self.report),
            "config": str(self.config),
        }


def compare(
    *folders: str | Path,
    reference: str | Path,
    captions: str | Path | None = None,
    extractor: str = "inception",
    dims: int | None = None,
    weights: str | Path | None = None,
    margin: float | None = None,
    pairing: Pairing = "name",
    device: str = "cpu",
    ladder: bool = False,
    output: str | Path = "emudrift-comparison",
) -> Comparison:
    """Compares folders (or archives) of images of the same prompts by their Fréchet distances from real images.

    Args:
        folders: two or more, the baseline first; `name=folder` to choose what one is called.
        reference: folder or archive of real images, of any names.
        captions: CSV with the columns file_name and caption.
        extractor: `inception`, `inception-random` (a stand-in for trying out), or `dinov2`.
        dims: length of a feature vector; default: that of the extractor, 2,048 for Inception.
        weights: file of the published Inception weights, or folder of a DINOv2 checkpoint; default: where they are usually.
        margin: a difference that would not matter.
        pairing: what makes images of several folders a pair: the same `name`, their `order`, or `none`.
        device: cpu or cuda.
        ladder: whether the difference is put into proportion to known degradations; takes minutes.
        output: folder for everything that is made; a second run goes on from what is there.

    Raises:
        InputError: something that the user gave does not fit, in one line.
    """
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise InputError(f"--margin {margin:g}: expected a difference of FID above 0 that would not matter")
    folder = Path(output).expanduser().resolve()
    settings = Settings(
        reference=_existing(Path(reference), "reference"),
        captions=None if captions is None else _existing(Path(captions), "captions"),
        extractor=extractor_entry(extractor, dims, None if weights is None else Path(weights), folder),
        pairing=pairing,
        device=device,
        margin=margin,
        ladder=ladder,
    )
    experiment = write_comparison(folder, find_sets([str(each) for each in folders]), settings)
    run_in_process(experiment)
    paths = experiment.paths
    differences = load_table(paths.comparison_table, COMPARISON_COLUMNS)
    fids = load_table(paths.fid_table, FID_COLUMNS)
    found = Comparison(
        verdict(differences, fids, experiment.baseline, experiment.floors, load_ladders(experiment)),
        differences,
        fids,
        paths.page,
        experiment.config_path,
    )
    write_json(paths.page.with_name("comparison.json"), found.to_dict())
    return found


def too_few(found: Comparison) -> str:
    """What cannot be claimed from so few images, and what could be done; empty where there are enough."""
    rows = found.differences[found.differences["n"] == found.differences["n"].max()]
    n, d = int(rows["n"].iloc[0]), int(rows["dims"].iloc[0])
    if n >= MIN_N_PER_DIMENSION * d:
        return ""
    return (
        f"{n:,} images of each model are too few for {d:,} dimensions: no difference can be claimed below "
        f"{math.ceil(MIN_N_PER_DIMENSION * d):,}. Use more images, or a layer with fewer dimensions (--dims), whose distance is "
        "another one"
    )


def _existing(path: Path, what: str) -> Path:
    path = path.expanduser()
    if not path.exists():
        raise InputError(f"{path}: --{what}: there is no such file or folder")
    return path.resolve()


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, with Python's own numbers, exact, and None for those that are not known."""
    columns = {str(name): [None if pd.isna(value) else value for value in table[name].tolist()] for name in table}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
