"""Archives of finished shards: uncompressed WebDataset tars, written reproducibly and verified."""

import hashlib
import io
import json
import logging
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from emudrift.data.prompts import Prompt
from emudrift.data.tar_files import is_whole
from emudrift.errors import InputError
from emudrift.generation.shards import BROKEN, IMAGE, RECORD, TOKENS, Identity, PartialShard
from emudrift.runtime.atomic_files import TEMPORARY_PREFIX, atomic_path, sha256_of
from emudrift.runtime.permissions import refuse_unreadable

logger = logging.getLogger(__name__)


def _remedy(archive: Path) -> str:
    return f"run snakemake -f {archive.with_suffix('.json')}: what is intact is kept"


@dataclass(frozen=True)
class Sample:
    """A sample of an archive whose members are what its record says.

    Attributes:
        members: image, and visual tokens if the model has them, by ending.
        record: its JSON record, with the `sha256` of each member.
    """

    prompt_id: str
    members: dict[str, bytes]
    record: dict[str, Any]


@dataclass(frozen=True)
class Contents:
    """What a verified archive holds: prompt_id to sha256 of the image, in row order; the sha256 of the archive itself; and the
    prompt_ids of images that a safety checker replaced."""

    sha256: dict[str, str]
    archive_sha256: str
    flagged: list[str]


def write_archive(path: Path, prompts: Sequence[Prompt], partial: PartialShard) -> Contents:
    """Packs the finished samples of a shard into an uncompressed WebDataset tar, verifies it and renames it into place.

    The bytes depend on prompts, settings and weights only: members in row order, headers without owner or time.

    Raises:
        InputError: a sample is missing, all images are equal, or the disk is full; no incomplete archive is left behind.
    """
    # A shard has a single writer, so no other process owns these files.
    remove_leftovers(path)
    with atomic_path(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for prompt in prompts:
                members = partial.read(prompt)
                if members is None:
                    raise InputError(
                        f"{path}: image {prompt.prompt_id} (row {prompt.row}) is missing; run the shard again"
                    )
                _pack(tar, prompt.prompt_id, members)
        packed = check_archive(temporary, prompts, partial.identity)
        _refuse_equal(path, prompts, packed)
        return packed


def _refuse_equal(path: Path, prompts: Sequence[Prompt], packed: Contents) -> None:
    """Raises InputError if different captions all gave the same image, as damaged weights do; black images of a safety checker
    may be equal."""
    several = len({prompt.caption for prompt in prompts}) > 1
    if several and len(set(packed.sha256.values())) == 1 and len(packed.flagged) < len(prompts):
        raise InputError(
            f"{path}: all {len(prompts)} images are equal, although their captions differ: the model, its adapter or its program "
            f"does not work; correct it and start over with ARM={path.parent.name} snakemake remove_images -c 1"
        )


def remove_leftovers(archive: Path) -> None:
    """Removes incomplete files that killed attempts left next to a shard's archive. The caller must hold the shard's lock."""
    for leftover in archive.parent.glob(f"{TEMPORARY_PREFIX}*-{archive.stem}.*"):
        leftover.unlink()


def check_archive(path: Path, prompts: Sequence[Prompt], identity: Identity) -> Contents:
    """Verifies a whole archive: its samples are those of the prompts, in order, every image decodes, every record matches, and
    its bytes are those that packing these samples gives.

    Raises:
        InputError: names the member and what is wrong with it.
    """
    expected = {prompt.prompt_id: prompt for prompt in prompts}
    images: dict[str, str] = {}
    flagged, packed = [], _Sink()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as again:
        for prompt_id, members in _grouped(path):
            sample = _verified(path, prompt_id, members)
            prompt = expected.get(prompt_id)
            if prompt is None or not identity.matches(sample.record, prompt):
                raise InputError(
                    f"{path}: image {prompt_id} was generated with other settings, weights or prompts; {_remedy(path)}"
                )
            _decode(path, f"{prompt_id}{IMAGE}", members[IMAGE])
            images[prompt_id] = sample.record["sha256"][IMAGE]
            flagged += [prompt_id] if sample.record.get("flagged") else []
            _pack(again, prompt_id, members)
    if list(images) != list(expected):
        missing = [prompt_id for prompt_id in expected if prompt_id not in images]
        raise InputError(
            f"{path}: has {len(images)} of {len(expected)} images; missing: {', '.join(missing[:10]) or 'none'}"
        )
    sha256 = sha256_of(path)
    if sha256 != packed.hash.hexdigest():
        raise InputError(f"{path}: damaged between its members; {_remedy(path)}")
    return Contents(images, sha256, flagged)


def read_archive(path: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yields (prompt_id, RGB image) of an archive, in row order. Raises InputError if it is damaged."""
    for sample in read_samples(path):
        yield sample.prompt_id, _decode(path, f"{sample.prompt_id}{IMAGE}", sample.members[IMAGE])


def read_images(path: Path, prompt_ids: Sequence[str], sha256: Mapping[str, str]) -> Iterator[Image.Image]:
    """The RGB images of an archive, loaded lazily; each is compared with the manifest, and their order with the prompts at once.

    Args:
        prompt_ids: of the shard's prompts, in row order.
        sha256: of each image, by prompt_id: the manifest's.

    Raises:
        InputError: another image, another order, too few or too many images, or a damaged archive.
    """
    if archive_ids(path) != list(prompt_ids) or sha256.keys() != set(prompt_ids):
        raise InputError(f"{path}: its images are not those of its rows' prompts, in their order; {_remedy(path)}")

    def images() -> Iterator[Image.Image]:
        for sample in read_samples(path):
            if sample.record["sha256"][IMAGE] != sha256[sample.prompt_id]:
                raise InputError(f"{path}: image {sample.prompt_id} is not the one of the manifest; {_remedy(path)}")
            yield _decode(path, f"{sample.prompt_id}{IMAGE}", sample.members[IMAGE])

    return images()


def read_samples(path: Path) -> Iterator[Sample]:
    """Yields the samples of an archive, in row order. Raises InputError if it is damaged."""
    for prompt_id, members in _grouped(path):
        yield _verified(path, prompt_id, members)


def intact_samples(path: Path) -> Iterator[Sample]:
    """Yields what can still be used of an archive that may be damaged or cut off; logs what cannot."""
    for prompt_id, members in _grouped(path, salvage=True):
        try:
            yield _verified(path, prompt_id, members)
        except InputError as error:
            logger.info("%s", error)


def archive_ids(path: Path) -> list[str]:
    """prompt_ids of an archive, in row order, without reading its images. Raises InputError if it is damaged."""
    return [name.removesuffix(IMAGE) for name, _ in _members(path, read=False) if name.endswith(IMAGE)]


def _pack(tar: tarfile.TarFile, prompt_id: str, members: dict[str, bytes]) -> None:
    for ending in (IMAGE, RECORD, TOKENS):
        if ending in members:
            header = tarfile.TarInfo(f"{prompt_id}{ending}")
            header.size = len(members[ending])
            tar.addfile(header, io.BytesIO(members[ending]))


class _Sink(io.RawIOBase):
    """A file that only hashes what is written to it."""

    def __init__(self) -> None:
        self.hash, self._size = hashlib.sha256(), 0

    def write(self, data: Any, /) -> int:
        self.hash.update(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size


def _grouped(path: Path, salvage: bool = False) -> Iterator[tuple[str, dict[str, bytes]]]:
    """prompt_id and members of each sample, by ending, with the bytes of its record as they are."""
    current, members = "", dict[str, bytes]()
    for name, data in _members(path, salvage=salvage):
        prompt_id, dot, ending = name.partition(".")
        if prompt_id != current and members:
            yield current, members
            members = {}
        current = prompt_id
        members[dot + ending] = data
    if members:
        yield current, members


def _verified(path: Path, prompt_id: str, members: dict[str, bytes]) -> Sample:
    """Raises InputError if a member is not what the sample's record says."""
    rest = {ending: data for ending, data in members.items() if ending != RECORD}
    try:
        record = json.loads(members[RECORD])
        sums = dict(record["sha256"])
    except BROKEN as error:
        raise InputError(f"{path}: {prompt_id}{RECORD} is missing or damaged; {_remedy(path)}") from error
    wrong = [
        ending for ending in {*sums, *rest} if hashlib.sha256(rest.get(ending, b"")).hexdigest() != sums.get(ending)
    ]
    if wrong or IMAGE not in rest:
        named = " and ".join(f"{prompt_id}{ending}" for ending in sorted(wrong or [IMAGE]))
        raise InputError(f"{path}: {named} cannot be decoded as its record says: damaged or missing; {_remedy(path)}")
    return Sample(prompt_id, rest, record)


def _members(path: Path, read: bool = True, salvage: bool = False) -> Iterator[tuple[str, bytes]]:
    """Names and contents. `salvage`: goes on behind damaged headers, and to wherever a truncated archive ends."""
    refuse_unreadable(path)
    try:
        with tarfile.open(path, "r:", ignore_zeros=salvage) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None:
                    yield member.name, file.read() if read else b""
            if not salvage and not is_whole(tar):
                raise tarfile.ReadError("it ends without its end mark, or a header is damaged")
    except (OSError, tarfile.TarError) as error:
        if not salvage:
            raise InputError(f"{path}: incomplete archive ({error}); {_remedy(path)}") from error
        logger.info("%s: %s", path, error)


def _decode(path: Path, name: str, data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: {name} cannot be decoded ({error}); {_remedy(path)}") from error
    return image.convert("RGB")
