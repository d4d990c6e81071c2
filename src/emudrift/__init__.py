"""Did fine-tuning cost a text-to-image model generation quality, and by how much?

Ten names for notebooks and programs of your own; each is imported when it is first used, so that `import emudrift` is free.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emudrift.command_line.comparison import Comparison as Comparison
    from emudrift.command_line.comparison import compare as compare
    from emudrift.command_line.library import compare_features as compare_features
    from emudrift.command_line.library import extract_features as extract_features
    from emudrift.command_line.library import fid as fid
    from emudrift.command_line.library import fid_interval as fid_interval
    from emudrift.command_line.library import load_extractor as load_extractor
    from emudrift.command_line.library import load_tables as load_tables
    from emudrift.config.experiment import Experiment as Experiment
    from emudrift.errors import InputError as InputError

_MODULES = {
    "Comparison": "emudrift.command_line.comparison",
    "Experiment": "emudrift.config.experiment",
    "InputError": "emudrift.errors",
    "compare": "emudrift.command_line.comparison",
    "compare_features": "emudrift.command_line.library",
    "extract_features": "emudrift.command_line.library",
    "fid": "emudrift.command_line.library",
    "fid_interval": "emudrift.command_line.library",
    "load_extractor": "emudrift.command_line.library",
    "load_tables": "emudrift.command_line.library",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'emudrift' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
