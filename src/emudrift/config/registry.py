"""What metrics, extractors and generators have in common as entries of a registry.

Reading a config imports no network and no statistics: an entry names its functions as "module:function", which are imported when
they are called, as entry points of packages are. A user's own entries (`plugins`) bring them along instead.
"""

import importlib
import typing
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel


def load_function(reference: str) -> Callable[..., Any]:
    """The function that "module:function" names."""
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def names_of(settings: type[BaseModel], key: str) -> tuple[str, ...]:
    """The values of the key (`generator` of a model, `name` of an extractor) by which a config asks for these settings."""
    field = settings.model_fields.get(key)
    return () if field is None else tuple(each for each in typing.get_args(field.annotation) if isinstance(each, str))
