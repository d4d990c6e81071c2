"""A user's own metrics, extractors and generators: Python files that a config names under `plugins`.

What such a file defines is registered: each `Metric` at its top level, each subclass of `ExtractorSettings` and of
`ModelSettings`. The sha256 of the file is part of every fingerprint that it can change.
"""

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from emudrift.config.extractors import EXTRACTORS, ExtractorSettings, register_distance
from emudrift.config.metrics import METRICS, Metric
from emudrift.config.model_settings import ModelSettings
from emudrift.config.models import MODELS
from emudrift.config.registry import names_of
from emudrift.errors import InputError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Plugins:
    """What the files of a config register."""

    metrics: list[Metric] = field(default_factory=list)
    extractors: list[type[ExtractorSettings]] = field(default_factory=list)
    models: list[type[ModelSettings]] = field(default_factory=list)


def load_plugins(paths: Sequence[Path]) -> Plugins:
    """Imports the files and collects what they define.

    Raises:
        InputError: a file is missing, fails, defines nothing, or a name that is taken.
    """
    found = Plugins()
    for path in paths:
        _collect(path, found)
    for what, key, names in (
        ("metric", "name", [*METRICS, *(metric.name for metric in found.metrics)]),
        ("extractor", "name", [n for each in (*EXTRACTORS, *found.extractors) for n in names_of(each, "name")]),
        ("generator", "generator", [n for each in (*MODELS, *found.models) for n in names_of(each, "generator")]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"plugins: the {what} {twice[0]!r} is defined twice; change its {key}")
    return found


def _collect(path: Path, found: Plugins) -> None:
    module, sha256 = _import(path)
    own = [each for each in vars(module).values() if getattr(each, "__module__", None) == module.__name__]
    metrics = [each for each in vars(module).values() if isinstance(each, Metric)]
    extractors = [each for each in own if isinstance(each, type) and issubclass(each, ExtractorSettings)]
    models = [each for each in own if isinstance(each, type) and issubclass(each, ModelSettings)]
    if not (metrics or extractors or models):
        raise InputError(
            f"plugins: {path}: registers nothing; expected a Metric, or a subclass of ExtractorSettings or ModelSettings"
        )
    for settings, key in [(each, "name") for each in extractors] + [(each, "generator") for each in models]:
        if not names_of(settings, key):
            raise InputError(
                f'plugins: {path}: class {settings.__name__} needs {key}: Literal["..."], its name in configs'
            )
        settings.plugin = sha256
    for extractor in extractors:
        register_distance(extractor)
    found.metrics.extend(replace(metric, plugin=sha256) for metric in metrics)
    found.extractors.extend(extractors)
    found.models.extend(models)


def _import(path: Path) -> tuple[ModuleType, str]:
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"plugins: {path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    # One module for each content: pydantic and pickle look classes up by it.
    name = f"emudrift_plugin_{path.stem}_{sha256[:12]}"
    if name in sys.modules:
        return sys.modules[name], sha256
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"plugins: {path}: is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        call_plugin(path, spec.loader.exec_module, module)
    except InputError:
        del sys.modules[name]
        raise
    return module, sha256


def call_plugin(where: object, function: Callable[..., Result], *arguments: Any) -> Result:
    """Calls code of a user's own. Whatever goes wrong in it becomes one InputError that names the line.

    Args:
        where: the file or the entry, for the message.
    """
    try:
        return function(*arguments)
    except InputError:
        raise
    except Exception as error:
        last = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        line = f" (line {last[-1].lineno} of {Path(last[-1].filename).name})" if last else ""
        said = " ".join(str(error).split())
        raise InputError(f"plugins: {where}: {type(error).__name__}: {said}{line}") from error
