"""Models with an adapter: what Emu3 checkpoints and pipelines share of it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import model_validator

from emudrift.config.adapters import Adapter, Checkpoints, variants
from emudrift.config.base import Checkpoint
from emudrift.config.model_settings import ModelSettings


class AdaptedModel(ModelSettings):
    """Base weights, with an adapter at one or more strengths, or with those that a training run saved on its way.

    A subclass has the fields below, in the order that it wants them in.
    """

    adapter_class: ClassVar[type[Adapter]] = Adapter

    if TYPE_CHECKING:
        checkpoint: Checkpoint
        adapter: Adapter | None
        checkpoints: Checkpoints | None

    @model_validator(mode="after")
    def _one_training(self) -> "AdaptedModel":
        if self.adapter is not None and self.checkpoints is not None:
            raise ValueError("give either adapter or checkpoints, not both")
        return self

    @property
    def adapter_scale(self) -> float | None:
        return None if self.adapter is None else self.adapter.scale

    @property
    def step(self) -> int | None:
        found = re.search(r"@step(\d+)", self.name)  # Names in a config have no @.
        return None if found is None else int(found[1])

    def variants(self, models: Sequence[ModelSettings], config_path: Path) -> list[ModelSettings]:
        trained = self.adapter or self.checkpoints
        if trained is None:
            return [self]
        has_base = any(self.is_base(each, models) for each in models)
        return list(variants(self, trained, config_path, has_base))

    def is_base(self, other: ModelSettings, models: Sequence[ModelSettings]) -> bool:
        """Whether another of the models is this one without its adapter."""
        raise NotImplementedError
