"""Scores from outside: one number per image, by any program, read from a CSV."""

from typing import Any

from pydantic import Field

from emudrift.config.base import Name, Settings, Text
from emudrift.config.metrics import METRICS, Metric


class ScoreFile(Settings):
    """One number per image that another program has given, such as PickScore or the answers of a judge."""

    name: Name
    file: Text = Field(
        description="CSV with a line for each image: arm (the name of its folder in images/) or model and guidance_scale, then "
        "prompt_id and value (docs/metrics.md#scores-from-outside)."
    )
    higher_is_better: bool = Field(description="Which way is better: the direction of a finding.")
    label: str = Field("", description="Its name on the page and in the methods; default: name.")
    column: Text = Field("value", description="Column of the file with the numbers.")
    definition: str = Field("", description="What it is, for the methods paragraph: program, version and settings.")
    citation: str = Field("", description='How the methods paragraph cites it: "Kirstain et al., 2023".')
    bibtex: str = Field("", description="BibTeX entry of that citation.")

    def metric(self) -> Metric:
        """The same as an entry of the registry of metrics."""
        return score_metric(
            self.name,
            higher_is_better=self.higher_is_better,
            label=self.label,
            formula=self.definition,
            citation=self.citation,
            bibtex=self.bibtex,
        )


def score_metric(name: str, **described: Any) -> Metric:
    """A metric whose value for each image stands in a file per arm (`ExperimentPaths.score`), and is computed by no extractor.

    Args:
        described: further attributes of `Metric`.
    """
    return Metric(name=name, function=lambda values: values, inputs="scores", reads=(), per_image=True, **described)


def check_scores(scores: list[Metric], others: list[Metric]) -> None:
    """Raises ValueError where a score has the name of another metric, or of one of its values.

    Args:
        others: metrics of plugins.
    """
    for metric in others:
        if metric.inputs == "scores":
            raise ValueError(f"plugins: metric {metric.name}: inputs='scores' is for entries of scores: in the config")
    taken = {*METRICS, *(name for metric in others for name in (metric.name, *(v.name for v in metric.values)))}
    # Upper and lower case are the same folder on some file systems.
    taken = {name.lower() for name in taken}
    for metric in scores:
        if metric.name.lower() in taken:
            raise ValueError(f"scores: name: {metric.name} is the name of another metric or score; choose another name")
        taken.add(metric.name.lower())
