"""Reads a config file, with errors that name the key and say what would be right."""

import datetime
import difflib
import re
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from emudrift.config.base import NAME, Settings, locate
from emudrift.config.experiment_config import Config, config_class
from emudrift.config.extractors import EXTRACTORS
from emudrift.config.models import MODELS
from emudrift.config.plugins import Plugins, load_plugins
from emudrift.config.prompt_sets import ONE, SEVERAL, PromptSet
from emudrift.config.registry import names_of
from emudrift.config.understanding import TASKS
from emudrift.errors import InputError


def load_config(path: Path, expand: bool = True) -> Config:
    """Reads and checks a config file.

    Args:
        expand: whether an entry of models becomes one model for each strength and checkpoint of its adapter; the lists of
            checkpoints must exist.

    Raises:
        InputError: the file is missing, is not YAML, or does not fit the models; every fault is listed with its key.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except OSError as error:
        raise InputError(f"{path}: cannot read the config file: {error.strerror}") from error
    except yaml.scanner.ScannerError as error:
        said, mark = " ".join(str(error).split()), error.context_mark
        if error.context == "while scanning a quoted scalar" and mark is not None:
            said = f"the quote that begins at line {mark.line + 1} column {mark.column + 1} is never closed"
        raise InputError(f"{path}: not valid YAML: {said}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected keys and values such as 'name: my-experiment', found {type(data).__name__}")
    return parse_config(data, str(path), expand)


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a key stand twice and takes the last; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def parse_config(data: dict[str, Any], where: str, expand: bool = True) -> Config:
    """Checks settings that are read already, and imports the plugins that they name.

    Args:
        where: their file, for errors and for relative paths of plugins and lists of checkpoints.
        expand: as in `load_config`.

    Raises:
        InputError: as `load_config`.
    """
    named = data.get("plugins")
    # Anything but a list of texts is refused by the model below, with its key.
    paths = named if isinstance(named, list) and all(isinstance(each, str) for each in named) else []
    try:
        plugins = load_plugins([locate(each, Path(where).resolve()) for each in paths])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    model = config_class(plugins)
    try:
        return model.model_validate(data, context={"config_path": Path(where).resolve() if expand else None})
    except ValidationError as error:
        # Unknown keys first: a misspelt key often explains why another is missing.
        errors = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        faults = [_describe(fault, where, model) for fault in errors]
        raise InputError("\n".join(dict.fromkeys(faults))) from error


def _names(plugins: Plugins) -> tuple[list[str], list[str]]:
    """Of all generators and of all extractors."""
    generators = [name for each in (*MODELS, *plugins.models) for name in names_of(each, "generator")]
    return generators, [name for each in (*EXTRACTORS, *plugins.extractors) for name in names_of(each, "name")]


def _describe(fault: Any, where: str, model: type[Config]) -> str:
    # A discriminated union puts its tag into the location: models.0.emu3.name.
    generators, extractors = _names(model.plugins_found)
    tasks = [name for each in TASKS for name in names_of(each, "task")]
    tags, parts = (*generators, *extractors, *tasks), fault["loc"]
    location = [
        p
        for i, p in enumerate(parts)
        if not (i and isinstance(parts[i - 1], int) and p in tags) and p not in (ONE, SEVERAL)
    ]
    key = ": ".join(f"[{part}]" if isinstance(part, int) else str(part) for part in location)
    where = f"{where}: {key}" if key else where
    if fault["type"] == "extra_forbidden":
        is_set = isinstance(fault["input"], dict) and "captions" in fault["input"]
        if ONE in parts and len(location) == 2 and (is_set or location[-1] in PromptSet.model_fields):
            return f"{where}: several sets of prompts are a list, whose entries begin with '- name: ' (docs/prompt-sets.md)"
        known = _keys_at(fault["loc"][:-1], model)
        close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0)
        hint = f"did you mean {close[0]!r}?" if close else f"valid keys: {', '.join(known)}"
        return f"{where}: unknown key; {hint}"
    if fault["type"] == "missing":
        return f"{where}: this key is missing"
    if fault["type"].startswith("union_tag"):
        given = fault.get("ctx", {}).get("tag")
        said = "this key is missing" if given is None else f"{given!r} is unknown"
        if location[0] == "extractors":
            return f"{where}: name: {said}; one of {', '.join(extractors)}"
        if location[0] == "understanding":
            return f"{where}: task: {said}; one of {', '.join(tasks)}"
        return f"{where}: generator: {said}; one of {', '.join(generators)}"
    if (plain := _plainly(fault)) is not None:
        return f"{where}: {plain}"
    message = fault["msg"].removeprefix("Value error, ")
    given = "" if fault["type"] == "value_error" else f" (found {fault['input']!r})"
    return f"{where}: {message}{given}"


def _plainly(fault: Any) -> str | None:
    """What is wrong in the words of YAML, where pydantic's are those of Python; None for other faults."""
    kind, given = fault["type"], fault["input"]
    if kind == "string_type" and given is None:
        return "has no value; write text after the colon"
    if kind == "string_type" and isinstance(given, int | float | datetime.date):
        kinds = {bool: "yes or no", datetime.date: "a date", datetime.datetime: "a time"}
        return (
            f"YAML reads this as {kinds.get(type(given), 'a number')} ({given}), but text is needed; put it in quotes"
        )
    if kind == "string_pattern_mismatch" and fault["ctx"]["pattern"] == NAME:
        suggested = re.sub(r"[^A-Za-z0-9_-]+", "-", given).strip("-_")
        hint = f"; try {suggested}" if suggested else ""
        return f"{given!r} is used in file names: it must be letters, digits, - and _, and begin with a letter or digit{hint}"
    if kind in ("model_attributes_type", "model_type"):
        return f"expected keys and values, such as {{name: ..., ...}}, found {given!r}"
    if kind == "dict_type":
        return f"expected keys and values, such as {{key: value}}, found {given!r}"
    if kind == "list_type":
        return f"expected a list, each entry on a line that begins with '- ', found {given!r}"
    return None


def _keys_at(location: tuple[int | str, ...], model: type[Config]) -> list[str]:
    """The valid keys at a place of the config, from the models' own annotations."""
    models: list[type[Settings]] = [model]
    for part in location:
        if isinstance(part, int) or part == ONE:
            continue
        if part == SEVERAL:
            models = [PromptSet]
            continue
        tagged = [m for m in models for key in ("generator", "name", "task") if part in names_of(m, key)]
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        # What is neither is a key of the user's, such as a column of where.
        if tagged or fields:
            models = tagged or [model for annotation in fields for model in _models_in(annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _models_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
