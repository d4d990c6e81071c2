"""Archives of finished shards: uncompressed WebDataset tars, written reproducibly and verified."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.manifest import load_manifest
from emudrift.generation.shards import IMAGE, RECORD, TOKENS, Identity, PartialShard
from emudrift.runtime.atomic_files import TEMPORARY_PREFIX, atomic_path


def write_archive(path: Path, prompts: Sequence[Prompt], partial: PartialShard) -> dict[str, str]:
    """Packs the finished samples of a shard into an uncompressed WebDataset tar, verifies it and renames it into place.

    The bytes depend on prompts, settings and weights only: members in row order, headers without owner or time.

    Returns:
        prompt_id to sha256 of the image.

    Raises:
        InputError: a sample is missing, or the disk is full; no incomplete archive is left behind.
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
                for ending in (IMAGE, RECORD, TOKENS):
                    if ending in members:
                        header = tarfile.TarInfo(f"{prompt.prompt_id}{ending}")
                        header.size = len(members[ending])
                        tar.addfile(header, io.BytesIO(members[ending]))
        return check_archive(temporary, prompts, partial.identity)


def remove_leftovers(archive: Path) -> None:
    """Removes incomplete files that killed attempts left next to a shard's archive. The caller must hold the shard's lock."""
    for leftover in archive.parent.glob(f"{TEMPORARY_PREFIX}*-{archive.stem}.*"):
        leftover.unlink()


def check_archive(path: Path, prompts: Sequence[Prompt], identity: Identity) -> dict[str, str]:
    """Verifies a whole archive: the ids equal those of the prompts, every image decodes, every record matches.

    Returns:
        prompt_id to sha256 of the image.

    Raises:
        InputError: names the member and what is wrong with it.
    """
    expected = {prompt.prompt_id: prompt for prompt in prompts}
    images, records = {}, {}
    for name, data in _members(path):
        prompt_id, dot, ending = name.partition(".")
        if dot + ending == IMAGE:
            _decode(path, name, data)
            images[prompt_id] = hashlib.sha256(data).hexdigest()
        elif dot + ending == RECORD:
            records[prompt_id] = json.loads(data)
    if list(images) != list(expected) or list(records) != list(expected):
        missing = [prompt_id for prompt_id in expected if prompt_id not in images or prompt_id not in records]
        raise InputError(
            f"{path}: has {len(images)} of {len(expected)} images; missing: {', '.join(missing[:10]) or 'none'}"
        )
    for prompt_id, record in records.items():
        sums, _ = record.pop("sha256"), record.pop("flagged", None)
        if record != identity.record(expected[prompt_id]) or sums[IMAGE] != images[prompt_id]:
            raise InputError(
                f"{path}: image {prompt_id} was generated with other settings, weights or prompts; remove the archive"
            )
    return images


def is_finished(archive: Path, manifest: Path, prompts: Sequence[Prompt], identity: Identity) -> bool:
    """Whether a shard's archive exists, is complete and has this identity."""
    try:
        found = load_manifest(manifest)
        check_archive(archive, prompts, identity)
    except (InputError, ValueError):
        return False
    return (found.fingerprint, found.model_digest) == (identity.fingerprint, identity.digest)


def read_archive(path: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yields (prompt_id, RGB image) of an archive, in row order. Raises InputError if it is damaged."""
    for name, data in _members(path):
        if name.endswith(IMAGE):
            yield name.removesuffix(IMAGE), _decode(path, name, data)


def archive_ids(path: Path) -> list[str]:
    """prompt_ids of an archive, in row order, without reading its images. Raises InputError if it is damaged."""
    return [name.removesuffix(IMAGE) for name, _ in _members(path, read=False) if name.endswith(IMAGE)]


def _members(path: Path, read: bool = True) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None:
                    yield member.name, file.read() if read else b""
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: incomplete archive ({error}); remove it and run its shard again") from error


def _decode(path: Path, name: str, data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError) as error:
        raise InputError(
            f"{path}: {name} cannot be decoded ({error}); remove the archive and run its shard again"
        ) from error
    return image.convert("RGB")
