"""Groups of prompts, by columns of their annotations: settings, and how many prompts a group needs."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from emudrift.config.annotations import COLUMNS, check_columns
from emudrift.config.base import Settings, Text

if TYPE_CHECKING:
    from emudrift.config.experiment import Experiment
    from emudrift.config.extractors import ExtractorSettings

MIN_PROMPTS = 50
"""Prompts (images, themes: what is independent) that a group, and the others, need: with 30, scores that are lost
rarely gave 7 % false findings in place of 5 (bench/groups.py)."""
MIN_DISTANCE = 100
"""Images that a group needs for a distance other than FID: five in each of 20 blocks (bench/groups.py)."""
Edge = Annotated[float, Field(allow_inf_nan=False)]


class Grouping(Settings):
    """A column whose values divide the prompts into groups."""

    column: Text = Field(
        description="A column of the prompts' annotations (docs/annotations.md); it need not be listed there."
    )
    edges: list[Edge] = Field(
        [],
        description="Where groups of a column of numbers begin: [2, 4] makes three, below 2, from 2 to below 4, and 4 or more.",
    )
    names: list[Text] = Field(
        [],
        description='Names of these groups, one more than edges, to be read after "prompts with": [one object, several objects].',
    )
    values: list[Text] = Field(
        [],
        description="For a column of texts, of yes and no, or of lists such as categories: the values that are groups; default: "
        "all that have enough prompts. Groups of a list overlap: a prompt is in those of all its values.",
    )

    @model_validator(mode="after")
    def _fits_the_column(self) -> "Grouping":
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"edges: {self.edges} must increase")
        if self.names and len(self.names) != len(self.edges) + 1:
            raise ValueError(
                f"names: {len(self.names)} for {len(self.edges)} edges; expected {len(self.edges) + 1} (none without edges)"
            )
        if len(set(self.names)) < len(self.names):
            raise ValueError("names: one is given more than once")
        if self.edges and self.values:
            raise ValueError("edges are for numbers and values for texts; give one of the two")
        kind = COLUMNS[self.column].kind if self.column in COLUMNS else ""
        if kind == "number" and not self.edges:
            raise ValueError(f"{self.column} is a number: it needs edges, such as [2] for below 2, and 2 or more")
        if kind and kind != "number" and self.edges:
            raise ValueError(f"{self.column} is no number: it has no edges")
        if kind == "yes/no" and (others := [value for value in self.values if value not in ("yes", "no")]):
            raise ValueError(f'values: {others[0]!r}: {self.column} is yes or no: write "yes" or "no", in quotes')
        if len(set(self.values)) < len(self.values):
            raise ValueError("values: one is given more than once")
        return self


def check_groups(groups: Sequence[Grouping], prompts: Sequence[Any], clip: bool) -> None:
    """Raises ValueError where a column divides the prompts twice, or no set of prompts can have it.

    Args:
        prompts: the settings of the prompts of each set.
        clip: whether there is a clip extractor.
    """
    for each in groups:
        if not any(_can_have(each.column, one, clip) for one in prompts):
            check_columns([each.column], "groups", prompts[0], clip)
    columns = [each.column for each in groups]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise ValueError(f"groups: column: {twice[0]} is given more than once; each must be unique")


def _can_have(column: str, prompts: Any, clip: bool) -> bool:
    """Whether what a column is made from is there, in the settings of a set of prompts."""
    try:
        check_columns([column], "groups", prompts, clip)
    except ValueError:
        return False
    return True


class PromptGroups:
    """What an experiment's groups are measured by, and the files of that. Needs no file but the config itself."""

    def __init__(self, experiment: "Experiment") -> None:
        self.experiment = experiment

    @property
    def asked(self) -> list[Grouping]:
        """The columns of `groups:` that the prompts of this set can have."""
        config = self.experiment.config
        clip = any(each.name == "clip" for each in config.extractors)
        return [each for each in config.groups if _can_have(each.column, config.prompts, clip)]

    def metrics(self, extractor: "ExtractorSettings") -> list[str]:
        """Full names of the metrics of sets of images that are computed for each group from an extractor's features.

        None where there is not a real image of each prompt: a group is compared with its own.
        """
        config = self.experiment.config
        own = config.reference.images == "dataset" and not config.reference.where
        if not own or extractor.ready_statistics is not None:
            return []
        metrics = [config.metric(name) for name in config.metric_names()]
        return [
            metric.full_name
            for metric in metrics
            if not metric.per_image and metric.inputs in ("reference", None) and metric.reads_from(extractor)
        ]

    def extractors(self) -> list[str]:
        """Full names of the extractors that groups of this set are measured by."""
        experiment = self.experiment
        return [experiment.extractor_name(each) for each in experiment.config.extractors if self.metrics(each)]

    def distance_files(self) -> list[Path]:
        """What measure_groups writes for every extractor and arm with generated images, of all sets."""
        return [path for view in self.experiment.sets.values() for path in view.groups.distance_files_of_set()]

    def distance_files_of_set(self) -> list[Path]:
        """The same of this set alone."""
        experiment = self.experiment
        if not self.asked:
            return []
        return [
            experiment.paths.group_distances(extractor, arm.name)
            for extractor in self.extractors()
            for arm in experiment.generated_arms()
        ]

    def score_files(self) -> list[Path]:
        """The records of metrics with one number per image that are computed from features, for arms with generated images."""
        experiment = self.experiment
        return [
            experiment.paths.metric(metric, extractor, arm.name, str(max(view.config.sample_sizes)))
            for view in experiment.sets.values()
            for metric, extractor in experiment.metric_jobs()
            if experiment.metric(metric).per_image
            for arm in view.generated_arms()
        ]

    def annotations(self) -> list[Path]:
        """The annotations of all sets with groups."""
        tables = [view.annotations.table for view in self.experiment.sets.values() if view.groups.asked]
        return [table for table in tables if table is not None]
