"""Folders and archives of images that are compared: their names, and which images of them belong to the same prompt."""

import hashlib
import os
import re
import shutil
import tarfile
import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from emudrift.config.base import NAME
from emudrift.data.image_sources import scan_reference_images
from emudrift.data.input_files import inside
from emudrift.errors import InputError

Pairing = Literal["name", "order", "none"]
"""What makes images a pair: the same name; the same place in the order of names; nothing."""

FEWEST = 20
"""Pairs below which no interval means anything."""
_LISTED = 3


@dataclass(frozen=True)
class ImageSet:
    """A folder or archive of images.

    Attributes:
        members: path of each image inside, by its name: that path without the folders that all share, and without its ending.
    """

    name: str
    source: Path
    members: dict[str, str]


@dataclass(frozen=True)
class Pairs:
    """Images that belong together.

    Attributes:
        names: one for each pair, unique.
        members: for each set, the path of each pair's image inside.
        left_out: how many images of each set are in no pair.
    """

    names: list[str]
    members: dict[str, list[str]]
    left_out: dict[str, int]


def find_sets(given: Sequence[str]) -> list[ImageSet]:
    """The sets that a user names: `folder`, or `name=folder`.

    Raises:
        InputError: a folder or archive is missing, empty or unreadable, or two sets have one name.
    """
    named = []
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or os.path.exists(text):
            name, path = "", text
        source = Path(path).expanduser()
        if not path or not source.exists():
            raise InputError(f"{path or text}: there is no such folder or archive of images")
        named.append((name, source.resolve()))
    short = [name or _short_name(source) for name, source in named]
    # a/images and b/images: the folder above tells them apart.
    names = [
        _slug(f"{source.parent.name}-{each}") if short.count(each) > 1 and not name else each
        for each, (name, source) in zip(short, named, strict=True)
    ]
    for name in names:
        if not re.fullmatch(NAME, name) or len(name) > 60:
            raise InputError(f"{name!r} is used in file names: letters, digits, - and _; give name=folder")
        if [each.lower() for each in names].count(name.lower()) > 1:
            raise InputError(f"two of the folders would be called {name}; give each a name: base={named[0][1]} …")
    return [find_set(name, source) for name, (_, source) in zip(names, named, strict=True)]


def find_set(name: str, source: Path) -> ImageSet:
    """Raises InputError where it is missing, unreadable or empty, or two images differ in their ending only."""
    found = scan_reference_images(source)
    shared = len(PurePosixPath(os.path.commonpath([PurePosixPath(member).parent for member in found])).parts)
    members: dict[str, str] = {}
    for member in found:
        path = PurePosixPath(*PurePosixPath(member).parts[shared:])
        key = path.with_suffix("").as_posix()
        if key in members:
            raise InputError(f"{source}: {members[key]} and {member} have the same name; keep one of them")
        members[key] = member
    return ImageSet(name, source, members)


def pair(sets: Sequence[ImageSet], how: Pairing) -> Pairs:
    """Which images belong together.

    Raises:
        InputError: there are too few pairs, or by `order` another number of images in each set.
    """
    if how == "name":
        names = sorted(set.intersection(*(set(each.members) for each in sets)))
        fewest = min(sets, key=lambda each: len(each.members))
        if 2 * len(names) < len(fewest.members):
            examples = "; ".join(f"{each.name} has {_first(each.members)}" for each in sets)
            raise InputError(
                f"only {len(names):,} of {len(fewest.members):,} images of {fewest.name} have a partner of the same name "
                f"({examples}); images of one prompt need the same file name in every folder, apart from the ending. If the "
                "names differ but their order is the same: --pair order; if the folders show other prompts: --pair none"
            )
        chosen = {each.name: [each.members[name] for name in names] for each in sets}
    else:
        orders = {each.name: _order(each, how) for each in sets}
        sizes = {name: len(order) for name, order in orders.items()}
        if how == "order" and len(set(sizes.values())) > 1:
            said = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
            raise InputError(f"--pair order needs the same number of images in every folder, found {said}")
        count = min(sizes.values())
        names = [f"{place:06d}" for place in range(count)]
        chosen = {name: order[:count] for name, order in orders.items()}
    if len(names) < FEWEST:
        raise InputError(
            f"there are {len(names):,} pairs of images; at least {FEWEST} are needed, and hundreds to learn something"
        )
    return Pairs(names, chosen, {each.name: len(each.members) - len(names) for each in sets})


def unpacked(source: Path, folder: Path) -> Path:
    """A folder as it is; an archive's images, unpacked once into a folder of `folder` that its path, size and time name.

    Raises:
        InputError: the archive cannot be read, or the disk is full.
    """
    if source.is_dir():
        return source
    stat = source.stat()
    key = hashlib.sha256(f"{source} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]
    target = folder / f"{_slug(source.stem)}-{key}"
    if target.is_dir():
        return target
    temporary = folder / f".tmp-{uuid.uuid4().hex[:12]}"
    try:
        temporary.mkdir(parents=True)
        _unpack(source, scan_reference_images(source), temporary)
        os.replace(temporary, target)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise InputError(f"{source}: cannot be unpacked into {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _unpack(source: Path, members: Sequence[str], folder: Path) -> None:
    def write(member: str, data: bytes) -> None:
        path = folder / inside(member, str(source))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as zipped:
            for member in members:
                write(member, zipped.read(member))
        return
    with tarfile.open(source, "r:") as tar:
        for member in members:
            file = tar.extractfile(member)
            assert file is not None  # The scan lists regular files only.
            with file:
                write(member, file.read())


def _order(each: ImageSet, how: Pairing) -> list[str]:
    """In the order of names; or, where nothing belongs together, in one that has nothing to do with them."""
    names = sorted(each.members)
    if how == "none":
        names.sort(key=lambda name: hashlib.sha256(f"{each.name}/{name}".encode()).digest())
    return [each.members[name] for name in names]


def _first(members: dict[str, str]) -> str:
    listed = [PurePosixPath(members[name]).name for name in sorted(members)[:_LISTED]]
    return ", ".join(listed) + (" …" if len(members) > _LISTED else "")


def _short_name(source: Path) -> str:
    return _slug(source.name if source.is_dir() else source.stem)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_") or "images"
