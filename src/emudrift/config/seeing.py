"""What follows from the tasks of `understanding:`: variants, fingerprints, arms that see, shards and files."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emudrift.config.arm import Arm, fingerprint
from emudrift.config.row_range import RowRange
from emudrift.config.understanding import UnderstandingTask
from emudrift.errors import InputError

if TYPE_CHECKING:
    from emudrift.config.experiment import Experiment


@dataclass(frozen=True)
class Variant:
    """One way to ask the questions of a task. `settings` holds everything of it that can change an answer, and nothing else."""

    label: str
    task: UnderstandingTask
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """In paths: `vqa-4shots-0123456789ab`."""
        return f"{self.label}-{fingerprint(self.settings)}"

    @property
    def shots(self) -> int:
        return int(self.settings["shots"])

    @property
    def text_only(self) -> bool:
        """Whether the examples are shown without their pictures."""
        return bool(self.settings["text_only"])

    @property
    def max_new_tokens(self) -> int:
        """After which an answer is cut off."""
        return int(self.settings["max_new_tokens"])

    @property
    def control(self) -> bool:
        """Whether the pictures are exchanged."""
        return bool(self.settings["control"])


class Understanding:
    """The tasks of an experiment with what follows from them. Needs no file but the config itself. Empty without tasks."""

    def __init__(self, experiment: "Experiment") -> None:
        self.experiment = experiment
        self.tasks: list[UnderstandingTask] = list(experiment.config.understanding)

    def refuse_if_nobody_sees(self) -> None:
        """Raises InputError where there are tasks and no model that answers."""
        if self.tasks and not self._arms:
            raise InputError(
                f"{self.experiment.config_path}: understanding: none of the models answers questions about pictures: emu3 models "
                "do, and those with answer_command or answers; add one, or remove understanding"
            )

    # -- tasks and variants ---------------------------------------------------------------------------------------

    def task_settings(self, task: UnderstandingTask) -> dict[str, Any]:
        """Everything that decides about the question table, apart from what its files contain."""
        shared = {"name", "images", "number", "image_area", "seed", "shots", "text_only", "control", "shard_size"}
        settings = task.model_dump(mode="json", exclude=shared | {"prompt", "max_new_tokens"} | set(task.files()))
        files = {key: [self.experiment.identity(file) for file in files] for key, files in task.files().items()}
        return settings | files | {"seed": self.seed(task)}

    def seed(self, task: UnderstandingTask) -> int:
        return self.experiment.config.seed if task.seed is None else task.seed

    def key(self, task: UnderstandingTask) -> str:
        """Names the folder of a task's question table: `vqa-0123456789ab`."""
        return f"{task.name}-{fingerprint(self.task_settings(task))}"

    def task(self, key: str) -> UnderstandingTask:
        """By its key, which makes sure that the settings are still those that were planned."""
        for task in self.tasks:
            if self.key(task) == key:
                return task
        raise InputError(
            f"{self.experiment.config_path}: has no task {key!r}; were its settings changed since it was planned? "
            f"Its tasks are {', '.join(map(self.key, self.tasks)) or 'none'}"
        )

    def questions(self, task: UnderstandingTask) -> Path:
        return self.experiment.paths.questions(self.key(task))

    def references(self, task: UnderstandingTask) -> Path:
        return self.experiment.paths.references(self.key(task))

    def support(self, task: UnderstandingTask) -> Path:
        return self.experiment.paths.support(self.key(task))

    @cached_property
    def _variants(self) -> dict[str, Variant]:
        found = []
        for task in self.tasks:
            asked = {"prompt": task.model_dump()["prompt"], "max_new_tokens": task.model_dump()["max_new_tokens"]}
            asked |= {"image_area": task.image_area, "images": self.experiment.identity(task.images)}
            asked |= self.task_settings(task)
            found += [Variant(label, task, asked | settings) for label, settings in task.variants()]
        return {variant.name: variant for variant in found}

    def variants(self) -> list[Variant]:
        """Of all tasks, in the order of the config; the plain one of a task first."""
        return list(self._variants.values())

    def variant(self, name: str) -> Variant:
        """By its name, whose fingerprint makes sure that the settings are still those that were planned."""
        if name in self._variants:
            return self._variants[name]
        raise InputError(
            f"{self.experiment.config_path}: has no variant {name!r} of a task; were its settings changed since it was planned? "
            f"Its variants are {', '.join(self._variants) or 'none'}"
        )

    # -- arms and shards ------------------------------------------------------------------------------------------

    @cached_property
    def _arms(self) -> dict[str, Arm]:
        arms = []
        for model in self.experiment.config.models:
            files = {label: self.experiment.identity(file) for label, file in model.answers.items()}
            settings = {"answers": files} if files else model.seeing_settings(self.experiment)
            arms += [] if settings is None else [Arm(model.name, None, settings, model.adapter_scale, model.step)]
        return {arm.name: arm for arm in arms}

    def arms(self) -> list[Arm]:
        """One for each model that sees, whatever its guidance scales; labelled by the model's name. None without tasks."""
        return list(self._arms.values()) if self.tasks else []

    def asked_arms(self) -> list[Arm]:
        """Those that answer_shard asks: all but the models that bring their answers."""
        return [arm for arm in self.arms() if not self.experiment.model(arm.model).answers]

    def arm(self, name: str) -> Arm:
        """By its name, whose fingerprint makes sure that the settings are still those that were planned."""
        if name in self._arms:
            return self._arms[name]
        raise InputError(
            f"{self.experiment.config_path}: has no model that answers as {name!r}; were its settings changed since it was "
            f"planned? Those that answer are {', '.join(self._arms) or 'none'}"
        )

    def shards(self, task: UnderstandingTask) -> list[RowRange]:
        """The shards that hold the questions that are asked. Their ranges do not depend on how many these are."""
        return [RowRange(start, start + task.shard_size) for start in range(0, task.asked, task.shard_size)]

    def asked(self, task: UnderstandingTask, shard: RowRange) -> int:
        """How many questions of a shard are asked."""
        return max(0, min(shard.stop, task.asked) - shard.start)

    # -- files of results -----------------------------------------------------------------------------------------

    def brought(self, arm: Arm, variant: Variant) -> Path | None:
        """The file of answers that the config brings for a variant; None where there is none."""
        file = self.experiment.model(arm.model).answers.get(variant.label)
        return None if file is None else self.experiment.path(file)

    def answers(self, arm: Arm, variant: Variant) -> bool:
        """Whether an arm answers a variant: all that are asked do, and of answers that exist those that the config names."""
        return not self.experiment.model(arm.model).answers or self.brought(arm, variant) is not None

    def answer_files(self, arm: Arm, variant: Variant) -> list[Path]:
        """What answer_shard writes for a variant, in row order; or the one file of answers that existed."""
        brought = self.brought(arm, variant)
        if brought is not None:
            return [brought]
        return [
            self.experiment.paths.answers(arm.name, variant.name, shard.name) for shard in self.shards(variant.task)
        ]

    def brought_files(self, arm: str, variant: str) -> list[Path]:
        """The one file of answers that the config brings, if any. Both by their full names."""
        file = self.brought(self.arm(arm), self.variant(variant))
        return [] if file is None else [file]

    def answer_manifests(self, arm: str, variant: str) -> list[Path]:
        """What answer_shard declares for a variant. Both by their full names."""
        shards = self.shards(self.variant(variant).task)
        return [self.experiment.paths.answers_manifest(arm, variant, shard.name) for shard in shards]

    def people(self, variant: str) -> list[Path]:
        """The question table of a variant, by its full name, and what people answered."""
        task = self.variant(variant).task
        return [self.questions(task), self.references(task)]

    def score_files(self) -> list[Path]:
        """What score_answers writes for every arm and variant."""
        return [
            self.experiment.paths.answer_scores(arm.name, variant.name)
            for variant in self.variants()
            for arm in self.arms()
            if self.answers(arm, variant)
        ]
