"""Shards: resumable archives of the images of one arm. Work in progress survives any death; the archive is exact."""

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emudrift.errors import InputError
from emudrift.files import TEMPORARY_PREFIX, atomic_path, write_bytes_atomically
from emudrift.generators import Drawing, Generator
from emudrift.images import encode_png
from emudrift.prompts import Prompt

logger = logging.getLogger(__name__)

_IMAGE, _TOKENS, _RECORD = ".png", ".tokens.npy", ".json"


@dataclass(frozen=True)
class Identity:
    """What the images of an arm are made by: nothing made by anything else may be mixed in.

    Attributes:
        fingerprint: of the arm's settings.
        digest: sha256 over the model's files.
    """

    fingerprint: str
    digest: str

    def record(self, prompt: Prompt) -> dict[str, Any]:
        """What a sample's JSON says before its image is made."""
        return {
            "prompt_id": prompt.prompt_id,
            "caption": prompt.caption,
            "seed": prompt.seed,
            "fingerprint": self.fingerprint,
            "model_digest": self.digest,
        }


class PartialShard:
    """A shard in the making: a folder of finished samples that no rule declares, so that no failure deletes it."""

    def __init__(self, folder: Path, identity: Identity, size: tuple[int, int] | None) -> None:
        self.folder, self.identity, self.size = folder, identity, size
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, prompt: Prompt, drawing: Drawing) -> None:
        """Writes a sample; its JSON comes last and vouches for the rest.

        Raises:
            InputError: the disk is full, or the image has the wrong size.
        """
        self._check_size(prompt, drawing.image.shape[1::-1])
        members = {_IMAGE: encode_png(drawing.image)}
        if drawing.tokens is not None:
            members[_TOKENS] = _npy(drawing.tokens)
        record = self.identity.record(prompt)
        record["sha256"] = {ending: hashlib.sha256(data).hexdigest() for ending, data in members.items()}
        members[_RECORD] = json.dumps(record, ensure_ascii=False, sort_keys=True).encode()
        for ending, data in members.items():
            write_bytes_atomically(self.folder / f"{prompt.prompt_id}{ending}", data)

    def read(self, prompt: Prompt) -> dict[str, bytes] | None:
        """The members of a finished sample, or None if it is missing, broken, or made by something else."""
        try:
            data = (self.folder / f"{prompt.prompt_id}{_RECORD}").read_bytes()
            record = json.loads(data)
            sums = record.pop("sha256")
            if record != self.identity.record(prompt):
                return None
            members = {ending: (self.folder / f"{prompt.prompt_id}{ending}").read_bytes() for ending in sums}
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError):
            return None
        if any(hashlib.sha256(members[ending]).hexdigest() != sums[ending] for ending in sums) or _IMAGE not in sums:
            return None
        return members | {_RECORD: data}

    def missing(self, prompts: Sequence[Prompt]) -> set[str]:
        """prompt_ids of the samples that are still to be made."""
        return {prompt.prompt_id for prompt in prompts if self.read(prompt) is None}

    def count_attempt(self) -> int:
        """Notes that another attempt begins; returns its number, from 1."""
        path = self.folder / "attempts"
        before = path.read_text() if path.exists() else ""
        attempts = int(before) + 1 if before.isdigit() else 1
        write_bytes_atomically(path, str(attempts).encode())
        return attempts

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _check_size(self, prompt: Prompt, size: tuple[int, ...]) -> None:
        if self.size is not None and tuple(size) != self.size:
            raise InputError(f"image {prompt.prompt_id}: is {size[0]} x {size[1]} pixels, {self.size} were asked for")


def fixed_batch_size(path: Path, wanted: int) -> int:
    """The batch size that the first shard of an arm chose; every later one keeps it.

    Args:
        path: JSON beside the arm's shards.
        wanted: what the config asks for now; taken if nobody chose before.
    """
    mine = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{path.name}")
    write_bytes_atomically(mine, json.dumps({"batch_size": wanted}).encode())
    # Of several jobs that start together one makes the link; the others find it, whole.
    with contextlib.suppress(FileExistsError):
        os.link(mine, path)
    mine.unlink()
    chosen = int(json.loads(path.read_text())["batch_size"])
    if chosen != wanted:
        logger.info("batch size %d, which %s fixed for this arm, not the config's %d", chosen, path, wanted)
    return chosen


def draw_shard(
    prompts: Sequence[Prompt],
    partial: PartialShard,
    load: Callable[[], Generator],
    batch_size: int,
    started: Callable[[int], None] = lambda done: None,
    progress: Callable[[int], None] = lambda done: None,
) -> Generator | None:
    """Makes every missing sample of a shard.

    Batches are cut on a fixed grid of rows. A batch of which anything is missing is drawn whole, so a resumed shard puts
    the same rows together as an undisturbed one and gives the same bytes even where a model's roundings depend on its batch.

    Args:
        load: loads the generator; not called if nothing is missing.
        started: called once, with the number of samples that an earlier attempt finished.
        progress: called with the number of samples just made.

    Returns:
        The generator, or None if nothing was missing.

    Raises:
        InputError: whatever the generator or the disk refuses.
    """
    missing = partial.missing(prompts)
    started(len(prompts) - len(missing))
    if not missing:
        return None
    generator = load()
    partial.size = generator.size
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        wanted = [prompt for prompt in batch if prompt.prompt_id in missing]
        if not wanted:
            continue
        for prompt, drawing in zip(batch, generator.draw(batch), strict=True):
            if prompt.prompt_id in missing:
                partial.write(prompt, drawing)
                progress(1)
    return generator


def write_archive(path: Path, prompts: Sequence[Prompt], partial: PartialShard) -> dict[str, str]:
    """Packs the finished samples of a shard into an uncompressed WebDataset tar, checks it and renames it into place.

    The bytes depend on prompts, settings and weights alone: members in row order, headers without owner or time.

    Returns:
        prompt_id to sha256 of the image.

    Raises:
        InputError: a sample is missing, or the disk is full; no half-written archive is left.
    """
    # A killed predecessor leaves its temporary archive behind; a shard has one writer, so it is nobody else's.
    for leftover in path.parent.glob(f"{TEMPORARY_PREFIX}*-{path.name}"):
        leftover.unlink()
    with atomic_path(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for prompt in prompts:
                members = partial.read(prompt)
                if members is None:
                    raise InputError(
                        f"{path}: image {prompt.prompt_id} (row {prompt.row}) is missing; run the shard again"
                    )
                for ending in (_IMAGE, _RECORD, _TOKENS):
                    if ending in members:
                        header = tarfile.TarInfo(f"{prompt.prompt_id}{ending}")
                        header.size = len(members[ending])
                        tar.addfile(header, io.BytesIO(members[ending]))
        return check_archive(temporary, prompts, partial.identity)


def check_archive(path: Path, prompts: Sequence[Prompt], identity: Identity) -> dict[str, str]:
    """Reads an archive from end to end: the ids equal the prompts, every image decodes, every record fits.

    Returns:
        prompt_id to sha256 of the image.

    Raises:
        InputError: says what is wrong with which member.
    """
    expected = {prompt.prompt_id: prompt for prompt in prompts}
    images, records = {}, {}
    for name, data in _members(path):
        prompt_id, dot, ending = name.partition(".")
        if dot + ending == _IMAGE:
            _decode(path, name, data)
            images[prompt_id] = hashlib.sha256(data).hexdigest()
        elif dot + ending == _RECORD:
            records[prompt_id] = json.loads(data)
    if list(images) != list(expected) or list(records) != list(expected):
        missing = [prompt_id for prompt_id in expected if prompt_id not in images or prompt_id not in records]
        raise InputError(
            f"{path}: holds {len(images)} of {len(expected)} images; missing: {', '.join(missing[:10]) or 'none'}"
        )
    for prompt_id, record in records.items():
        sums = record.pop("sha256")
        if record != identity.record(expected[prompt_id]) or sums[_IMAGE] != images[prompt_id]:
            raise InputError(
                f"{path}: image {prompt_id} was made by other settings, weights or prompts; remove the archive"
            )
    return images


def read_archive(path: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yields (prompt_id, RGB image) of an archive, in row order. Raises InputError if it is broken."""
    for name, data in _members(path):
        if name.endswith(_IMAGE):
            yield name.removesuffix(_IMAGE), _decode(path, name, data)


def archive_ids(path: Path) -> list[str]:
    """prompt_ids of an archive, in row order, without reading its images. Raises InputError if it is broken."""
    return [name.removesuffix(_IMAGE) for name, _ in _members(path, read=False) if name.endswith(_IMAGE)]


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    write_bytes_atomically(path, (json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode())


def _members(path: Path, read: bool = True) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None:
                    yield member.name, file.read() if read else b""
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: not a whole archive ({error}); remove it and run its shard again") from error


def _decode(path: Path, name: str, data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError) as error:
        raise InputError(
            f"{path}: {name} does not decode ({error}); remove the archive and run its shard again"
        ) from error
    return image.convert("RGB")


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
