"""Selects the files of a diffusers pipeline that are used: repositories contain the same weights in several formats."""

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

_ALWAYS = {".json", ".txt", ".jinja", ".model"}


def wanted_files(names: Iterable[str], variants: Collection[str | None], code: bool) -> list[str]:
    """The files of a repository from which its pipeline is loaded, sorted.

    Only safetensors in the components' folders are used: weights next to model_index.json are for other programs. If a
    component has no files of a variant, those without a variant are used, as in diffusers.

    Args:
        names: paths in the repository, with /.
        variants: of the weights, such as fp16; None: no variant.
        code: whether to include Python files.
    """
    paths = [PurePosixPath(name) for name in names]
    paths = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    wanted = {path for path in paths if path.suffix in _ALWAYS or (code and path.suffix == ".py")}
    weights = [path for path in paths if path.suffix == ".safetensors" and len(path.parts) > 1]
    for folder in {path.parent for path in weights}:
        inside = [path for path in weights if path.parent == folder]
        for variant in variants:
            found = [path for path in inside if variant_of(path.name) == variant]
            wanted |= set(found or [path for path in inside if variant_of(path.name) is None])
    return sorted(map(str, wanted))


def variant_of(name: str) -> str | None:
    """`fp16` of model.fp16.safetensors and of model.fp16-00001-of-00002.safetensors, None of model.safetensors."""
    return name.removesuffix(".safetensors").partition(".")[2].partition("-")[0] or None
