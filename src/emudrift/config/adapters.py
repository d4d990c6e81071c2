"""Arms along two axes of one training: an adapter at several strengths, and the checkpoints of its run.

One entry of `models:` becomes a model for each of them: `finetuned@0.5`, `finetuned@step200`, `finetuned@step200@0.5`. At full
strength nothing is added to the name.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import yaml
from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from emudrift.config.base import Checkpoint, Settings, Text, locate

if TYPE_CHECKING:
    from emudrift.config.adapted_model import AdaptedModel

Model = TypeVar("Model", bound="AdaptedModel")

COMMAND = "python scripts/list_checkpoints.py --config"
"""Writes the list of a `Checkpoints`."""

Scale = Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)]


class Scaled(Settings):
    """One or more strengths of an adapter, as peft's `rescale_adapter_scale` multiplies them."""

    scale: Scale = Field(
        1.0,
        exclude_if=lambda scale: scale == 1,
        description="Strength of the adapter: its change of the weights is multiplied by it. 1 is as trained.",
    )
    scales: Annotated[list[Scale], Field(min_length=1)] | None = Field(
        None,
        exclude_if=lambda scales: scales is None,
        description="Several strengths, each a model: name@0.5. 0 is the base model, whose own images stand for it.",
    )

    @field_validator("scales")
    @classmethod
    def _each_once(cls, scales: list[float] | None) -> list[float] | None:
        names = [f"{scale:g}" for scale in scales or []]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is given more than once")
        return scales

    @model_validator(mode="after")
    def _one_key(self) -> "Scaled":
        if self.scales is not None and "scale" in self.model_fields_set:
            raise ValueError("give either scale or scales, not both")
        return self


class Adapter(Checkpoint, Scaled):
    """A PEFT adapter: a local folder, or a repository of the Hugging Face hub at a revision."""

    @property
    def source(self) -> str:
        return super().source + ("" if self.scale == 1 else f", scale {self.scale:g}")

    @property
    def label(self) -> str:
        return super().label + (
            "" if self.scale == 1 else f" at {self.scale:g} of its strength (Wortsman et al., 2022)"
        )


class PipelineAdapter(Adapter):
    """What was trained on top of a diffusers pipeline: a LoRA file, or an adapter of PEFT for its networks."""

    weight_name: str | None = Field(
        None,
        pattern=r"^\w[\w.+-]*(/\w[\w.+-]*)*\.safetensors$",
        exclude_if=lambda name: name is None,
        description="The LoRA file, where the folder or repository has several; of a repository only this file is downloaded.",
    )

    @model_validator(mode="after")
    def _of_a_folder(self) -> "PipelineAdapter":
        if self.weight_name is not None and (self.path or "").endswith(".safetensors"):
            raise ValueError(
                "weight_name names a file of a folder or repository, and path is a file already; remove one"
            )
        return self

    @property
    def file(self) -> str | None:
        return self.weight_name


class Checkpoints(Scaled):
    """The adapters that a training run saved on its way, each a model: name@step200."""

    path: Text = Field(description="Their folders, with * in the last name, such as runs/x/checkpoint-*.")
    list: Text = Field(
        description=f"YAML file that names them and their steps, written once by `{COMMAND} …`; remove lines that are not wanted."
    )

    @field_validator("path")
    @classmethod
    def _pattern_of_folders(cls, path: str) -> str:
        folder, _, name = path.rstrip("/").rpartition("/")
        if "*" in folder or "*" not in name:
            raise ValueError("needs one * in its last name and none before it, such as runs/x/checkpoint-*")
        return path.rstrip("/")


class ListedCheckpoint(Settings):
    """One entry of the list."""

    step: Annotated[int, Field(ge=0)] = Field(description="Training step.")
    path: Text = Field(description="Folder of the adapter; as all paths of the config.")


def load_list(checkpoints: Checkpoints, config_path: Path) -> list[ListedCheckpoint]:
    """The checkpoints of a run, as its list has them.

    Raises:
        ValueError: the list is missing, not valid or empty, or has a step twice.
    """
    path = locate(checkpoints.list, config_path)
    where = f"checkpoints: list: {path}"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = TypeAdapter(list[ListedCheckpoint]).validate_python(data)
    except FileNotFoundError:
        raise ValueError(f"{where} is missing; write it with: {COMMAND} {config_path}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ": ".join(f"[{part}]" if isinstance(part, int) else str(part) for part in first["loc"])
        example = f"- {{step: 100, path: {checkpoints.path.replace('*', '100')}}}"
        raise ValueError(
            f"{where}: {place + ': ' if place else ''}{first['msg']}; expected lines like {example}"
        ) from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
    steps = [each.step for each in found]
    if not found:
        raise ValueError(f"{where} is empty; write it with: {COMMAND} {config_path}")
    if twice := sorted({step for step in steps if steps.count(step) > 1}):
        raise ValueError(f"{where}: step {twice[0]} is there twice")
    return found


def variants(model: Model, trained: Adapter | Checkpoints, config_path: Path, has_base: bool) -> Iterator[Model]:
    """A model for each strength and checkpoint; none for scale 0, which is another model.

    Args:
        trained: its adapter, or the checkpoints of a run.
        has_base: whether the config has a model that is this one without adapter.

    Raises:
        ValueError: scale 0 without such a model; the list of checkpoints is not valid; or answers that exist are of one model.
    """
    try:
        adapters = (
            [(None, trained)]
            if isinstance(trained, Adapter)
            else [(each.step, model.adapter_class(path=each.path)) for each in load_list(trained, config_path)]
        )
    except ValueError as error:
        raise ValueError(f"{model.name}: {error}") from None
    scales = [trained.scale] if trained.scales is None else trained.scales
    if 0 in scales and not has_base:
        raise ValueError(
            f"{model.name}: an adapter of scale 0 is its base model: add a model with the same checkpoint and settings and no "
            "adapter, whose images stand for it"
        )
    made = [(step, adapter, scale) for step, adapter in adapters for scale in scales if scale != 0]
    if len(made) > 1 and model.answers:
        raise ValueError(
            f"{model.name}: answers are those of one model, and this entry makes {len(made)}; list each separately"
        )
    for step, adapter, scale in made:
        name = model.name + ("" if step is None else f"@step{step}") + ("" if scale == 1 else f"@{scale:g}")
        adapter = adapter.model_copy(update={"scale": scale, "scales": None})
        yield model.model_copy(update={"name": name, "adapter": adapter, "checkpoints": None})


def strength_settings(adapter: Adapter | None) -> dict[str, float]:
    """What of an adapter's strength belongs to a fingerprint: nothing at full strength, as before there were strengths."""
    return {} if adapter is None or adapter.scale == 1 else {"adapter_scale": adapter.scale}


def refuse_twice(names: Iterable[str]) -> None:
    """Raises ValueError where entries of `models:` share a name."""
    names = list(names)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"name {', '.join(twice)} is given more than once; each must be unique")
