"""The scheduler of a pipeline, or the one that a config puts in its place."""

import difflib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before diffusers)

import diffusers

from emudrift.errors import InputError


def check_scheduler(folder: Path, wanted: Mapping[str, Any], given_sigmas: bool) -> None:
    """Raises InputError where `wanted` (`name`, `settings`) is no scheduler for the pipeline in a folder.

    Args:
        given_sigmas: whether the pipeline gives it the noise levels.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = _class(str(config["_class_name"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: has no scheduler that could be replaced ({error})") from error
    made = made_scheduler(kind, config, wanted)
    if given_sigmas and "sigmas" not in inspect.signature(made.set_timesteps).parameters:
        raise InputError(
            f"scheduler: name: {type(made).__name__} does not fit the pipeline, which gives its scheduler the noise levels"
        )


def made_scheduler(own: type, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> Any:
    """The scheduler that a config asks for, with the settings of the pipeline's own where it says nothing.

    Args:
        own: class of the pipeline's scheduler, with its `config`.
        wanted: `name` (None: the same class) and `settings`.

    Raises:
        InputError: there is no such class, it is for networks of another kind, or it has no such setting.
    """
    kind, settings = own if wanted["name"] is None else _class(wanted["name"]), wanted["settings"]
    known = [name for name in inspect.signature(kind).parameters if name != "self"]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise InputError(f"scheduler: settings: {name}: {kind.__name__} has no such setting; {hint}")
    flows = _matches_flows(own, config)
    if flows != _matches_flows(kind, {**config, **settings}):
        what = "flow matching" if flows else "denoising"
        raise InputError(
            f"scheduler: name: {kind.__name__} does not fit the pipeline, whose network was trained for {what} with "
            f"{own.__name__}"
        )
    try:
        return kind.from_config(dict(config), **settings)  # type: ignore[attr-defined]
    except (ValueError, TypeError, NotImplementedError, ImportError) as error:
        raise InputError(f"scheduler: {kind.__name__}: {' '.join(str(error).split())[:300]}") from error


def _class(name: str) -> type:
    found = getattr(diffusers, name, None)
    known = [
        each for each in dir(diffusers) if each.endswith("Scheduler") and not each.startswith(("Flax", "Scheduler"))
    ]
    if not isinstance(found, type) or not issubclass(found, diffusers.SchedulerMixin):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "see the schedulers of its documentation"
        raise InputError(f"scheduler: name: diffusers {diffusers.__version__} has no scheduler {name!r}; {hint}")
    return found


def _matches_flows(kind: Any, config: Mapping[str, Any]) -> bool:
    """Whether a scheduler is for networks that were trained by flow matching; diffusers lists those that are not."""
    return "DDIMScheduler" not in kind._compatibles or bool(config.get("use_flow_sigmas"))
