"""What an experiment's prompts are annotated with and selected by: columns, fingerprints and files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emudrift.config.annotations import COLUMNS, Condition, Measure, where_settings
from emudrift.config.arm import fingerprint

if TYPE_CHECKING:
    from emudrift.config.experiment import Experiment
    from emudrift.config.extractors import ExtractorSettings


ANNOTATION_KEYS = {"annotations", "instances", "where"}
"""Keys of the settings of prompts. None of them changes the prompt table, but for what `where` leaves of it."""


@dataclass(frozen=True)
class ColumnsOf:
    """Columns of the prompts of a set, which one job makes."""

    view: "Experiment"
    columns: tuple[str, ...]

    @property
    def instances(self) -> list[Path]:
        """The instances file, where a column needs it."""
        file = self.view.config.prompts.instances
        return [] if file is None or "instances" not in measures(self.columns) else [self.view.path(file)]

    @property
    def images(self) -> list[Path]:
        """The folder or archive of the photographs, if any."""
        images = self.view.config.prompts.images
        return [] if images is None else [self.view.path(images)]

    @property
    def clip(self) -> "ExtractorSettings | None":
        """The extractor of clip_similarity, where that is asked for: the first one with name: clip."""
        if "clip" not in measures(self.columns):
            return None
        return next(each for each in self.view.config.extractors if each.name == "clip")

    def made_from(self) -> dict[str, Any]:
        """What the values depend on, apart from the prompts, for a fingerprint."""
        looked_at = measures(self.columns) & {"size", "clip", "text"}
        files = {"images": self.images if looked_at else [], "instances": self.instances}
        found = {key: self.view.identity(str(path)) for key, paths in files.items() for path in paths}
        return found | ({} if self.clip is None else {"clip": self.view.extractor_name(self.clip)})


def measures(columns: Iterable[str]) -> set[Measure]:
    """What has to be looked at for these columns."""
    return {COLUMNS[column].measure for column in columns if column in COLUMNS}


def annotated(experiment: "Experiment") -> dict[str, ColumnsOf]:
    """The columns of each set of prompts that has some, by the key of their table."""
    views = experiment.sets.values()
    return {view.annotations.key: view.annotations.wanted for view in views if view.annotations.columns}


def selecting(experiment: "Experiment") -> dict[str, ColumnsOf]:
    """The columns of conditions, of the prompts and of the reference of each set, by the key of what is selected."""
    return {
        key: ColumnsOf(view, tuple(where))
        for view in experiment.sets.values()
        for key, where in view.annotations.selections().items()
    }


def all_columns(experiment: "Experiment") -> list[ColumnsOf]:
    """All columns that the config asks for, of all sets."""
    return [*annotated(experiment).values(), *selecting(experiment).values()]


class PromptAnnotations:
    """The columns of the prompts of an experiment. Needs no file but the config itself."""

    def __init__(self, experiment: "Experiment") -> None:
        self.experiment = experiment

    @property
    def columns(self) -> list[str]:
        """The columns of the table next to the prompt table: those asked for, those of the prompts' conditions, and of groups."""
        prompts, groups = self.experiment.config.prompts, self.experiment.groups.asked
        return list(dict.fromkeys([*prompts.annotations, *prompts.where, *(each.column for each in groups)]))

    @property
    def wanted(self) -> ColumnsOf:
        return ColumnsOf(self.experiment, tuple(self.columns))

    @property
    def key(self) -> str:
        """Names the table with these columns."""
        made = {"columns": sorted(self.columns), "made_from": self.wanted.made_from()}
        return fingerprint(self.experiment.prompt_settings() | made)

    @property
    def table(self) -> Path | None:
        """The table with the columns of the prompts; None where no column is asked for."""
        return self.experiment.paths.annotations(self.key) if self.columns else None

    # -- what `where` leaves ----------------------------------------------------------------------------------------

    def selections(self) -> dict[str, Mapping[str, Condition]]:
        """The conditions of prompts and of the reference, by key."""
        config = self.experiment.config
        return {self.selection_key(where): where for where in (config.prompts.where, config.reference.where) if where}

    def selection_settings(self, where: Mapping[str, Condition]) -> dict[str, Any]:
        """What conditions add to a fingerprint: nothing where there are none."""
        return {"where": self._selected_by(where)} if where else {}

    def selection_key(self, where: Mapping[str, Condition]) -> str:
        return fingerprint(self._selected_by(where) | {"dataset": self._dataset()})

    def selection(self, where: Mapping[str, Condition]) -> Path | None:
        """The table of what meets the conditions; None where there are none."""
        return self.experiment.paths.selection(self.selection_key(where)) if where else None

    def selection_records(self) -> list[Path]:
        """How many each condition removed, of the prompts and of the reference."""
        return [self.experiment.paths.selection_record(key) for key in self.selections()]

    def _selected_by(self, where: Mapping[str, Condition]) -> dict[str, Any]:
        return {"conditions": where_settings(where), **ColumnsOf(self.experiment, tuple(where)).made_from()}

    def _dataset(self) -> dict[str, Any]:
        """What identifies the prompts that are selected from."""
        experiment, prompts = self.experiment, self.experiment.config.prompts
        columns = {"caption_column", "image_id_column", "file_name_column"}
        settings = prompts.model_dump(mode="json", include={"source", "splits", "domains", "caption", *columns})
        seed = {"seed": experiment.config.seed} if prompts.caption == "random" else {}
        return settings | {"captions": experiment.identity(prompts.captions)} | seed
