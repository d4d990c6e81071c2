"""Shards: resumable archives of the images of one arm. Work in progress survives any death; the archive is exact."""

import contextlib
import hashlib
import io
import json
import logging
import shutil
import tarfile
import uuid
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from emudrift.errors import InputError
from emudrift.files import TEMPORARY_PREFIX, atomic_path, hard_link, write_bytes_atomically
from emudrift.generators import Batching, Drawing
from emudrift.images import encode_png
from emudrift.locks import living_holder_of
from emudrift.prompts import Prompt
from emudrift.records import load_record

logger = logging.getLogger(__name__)

_IMAGE, _TOKENS, _RECORD = ".png", ".tokens.npy", ".json"
_TOKEN_FOLDER = "tokens"


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


@dataclass(frozen=True)
class Tokens:
    """The visual tokens of an image, not decoded yet.

    Attributes:
        codes: (h, w) integers.
        drawn_together: how many images were in the batch.
    """

    codes: np.ndarray
    drawn_together: int


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
        if drawing.flagged:
            record["flagged"] = True
        if drawing.drawn_together is not None:
            record["drawn_together"] = drawing.drawn_together
        members[_RECORD] = _record_bytes(record)
        for ending, data in members.items():
            write_bytes_atomically(self.folder / f"{prompt.prompt_id}{ending}", data)

    def read(self, prompt: Prompt) -> dict[str, bytes] | None:
        """The members of a finished sample, or None if it is missing, broken, or made by something else."""
        try:
            record = self._read_record(prompt)
            record.pop("drawn_together", None)  # Memory decided that: it is no part of what an archive holds.
            data, sums = _record_bytes(record), record.pop("sha256")
            record.pop("flagged", None)
            if record != self.identity.record(prompt):
                return None
            members = {ending: (self.folder / f"{prompt.prompt_id}{ending}").read_bytes() for ending in sums}
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError):
            return None
        if any(hashlib.sha256(members[ending]).hexdigest() != sums[ending] for ending in sums) or _IMAGE not in sums:
            return None
        return members | {_RECORD: data}

    def _read_record(self, prompt: Prompt) -> dict[str, Any]:
        return json.loads((self.folder / f"{prompt.prompt_id}{_RECORD}").read_bytes())

    def flagged(self, prompts: Sequence[Prompt]) -> list[str]:
        """prompt_ids of the finished samples whose image a safety checker replaced."""
        return [prompt.prompt_id for prompt in prompts if self._read_record(prompt).get("flagged")]

    def drawn_together(self, prompts: Sequence[Prompt]) -> Counter[int]:
        """How many of the finished samples were drawn in batches of each size, as far as that can move a pixel."""
        sizes = Counter(tokens.drawn_together for tokens in self.read_tokens(prompts).values())
        alone = [self._read_record(prompt).get("drawn_together") for prompt in prompts]
        return sizes + Counter(size for size in alone if size is not None)

    def missing(self, prompts: Sequence[Prompt]) -> set[str]:
        """prompt_ids of the samples that are still to be made."""
        return {prompt.prompt_id for prompt in prompts if self.read(prompt) is None}

    def write_tokens(self, prompts: Sequence[Prompt], codes: np.ndarray, drawn_together: int) -> None:
        """Keeps the tokens of a batch, before anything is decoded.

        Args:
            codes: (batch, h, w) integers.
            drawn_together: how many images the generator drew together.

        Raises:
            InputError: the disk is full.
        """
        records = json.dumps([self.identity.record(prompt) for prompt in prompts])
        buffer = io.BytesIO()
        np.savez(buffer, codes=codes, records=np.array(records), drawn_together=drawn_together)
        name = f"{prompts[0].row:06d}-{prompts[-1].row + 1:06d}.npz"
        write_bytes_atomically(self.folder / _TOKEN_FOLDER / name, buffer.getvalue())

    def read_tokens(self, prompts: Sequence[Prompt]) -> dict[str, Tokens]:
        """prompt_id to the tokens that earlier attempts kept; broken files and those of other settings count as absent."""
        wanted = {prompt.prompt_id: self.identity.record(prompt) for prompt in prompts}
        found = {}
        for path in sorted((self.folder / _TOKEN_FOLDER).glob("[0-9]*.npz")):
            try:
                with np.load(path, allow_pickle=False) as file:
                    codes, records = file["codes"], json.loads(str(file["records"]))
                    together = int(file["drawn_together"])
            except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
                continue
            for record, code in zip(records, codes, strict=True):
                if record == wanted.get(record["prompt_id"]):
                    found[record["prompt_id"]] = Tokens(code, together)
        return found

    def newest(self) -> float | None:
        """When the last sample was written, in seconds since the epoch."""
        return max((path.stat().st_mtime for path in self.folder.glob(f"[!.]*{_RECORD}")), default=None)

    def tidy(self) -> None:
        """Removes the samples of a finished shard. Its tokens stay until the experiment's report is written.

        A driver that was killed knows nothing of jobs that finish afterwards: the next one has such a shard made again, and
        then nothing has to be drawn.
        """
        # What cannot be removed (a file that a file server still holds open) must not undo a shard that is finished.
        with contextlib.suppress(OSError):
            for path in [*self.folder.iterdir(), *self.folder.glob(f"{_TOKEN_FOLDER}/{TEMPORARY_PREFIX}*")]:
                if path.name != _TOKEN_FOLDER:
                    path.unlink()
            if not (self.folder / _TOKEN_FOLDER).is_dir():
                self.folder.rmdir()

    def _check_size(self, prompt: Prompt, size: tuple[int, ...]) -> None:
        if self.size is not None and tuple(size) != self.size:
            raise InputError(f"image {prompt.prompt_id}: is {size[0]} x {size[1]} pixels, {self.size} were asked for")


def fixed_batching(path: Path, wanted: Batching) -> Batching:
    """The batching that the first shard of an arm chose; every later one keeps it.

    Args:
        path: JSON beside the arm's shards.
        wanted: taken if nobody chose before.

    Raises:
        InputError: prompts have grown longer than what was chosen.
    """
    mine = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{path.name}")
    write_bytes_atomically(mine, json.dumps(asdict(wanted)).encode())
    # Of several jobs that start together one makes the link; the others find it, whole.
    try:
        hard_link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    chosen = chosen_batching(path)
    if chosen.prompt_length < wanted.prompt_length:
        raise InputError(
            f"{path}: prompts are padded to {chosen.prompt_length} tokens, and now there is one of {wanted.prompt_length}: the "
            f"captions were changed. Start over with ARM={path.parent.name} snakemake remove_images"
        )
    if chosen.batch_size != wanted.batch_size:
        logger.info("batch size %d, which %s fixed for this arm, not %d", chosen.batch_size, path, wanted.batch_size)
    return chosen


def chosen_batching(path: Path) -> Batching:
    """What `fixed_batching` fixed. Raises InputError if the file is missing or broken."""
    chosen = load_record(path, _Chosen, "remove it, and the arm's images with it")
    return Batching(chosen.batch_size, chosen.prompt_length)


class _Chosen(BaseModel):
    model_config = ConfigDict(extra="forbid")

    batch_size: int = Field(ge=1)
    prompt_length: int = Field(ge=0)


def write_archive(path: Path, prompts: Sequence[Prompt], partial: PartialShard) -> dict[str, str]:
    """Packs the finished samples of a shard into an uncompressed WebDataset tar, checks it and renames it into place.

    The bytes depend on prompts, settings and weights alone: members in row order, headers without owner or time.

    Returns:
        prompt_id to sha256 of the image.

    Raises:
        InputError: a sample is missing, or the disk is full; no half-written archive is left.
    """
    # A shard has one writer, so these are nobody else's.
    remove_leftovers(path)
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


def remove_leftovers(archive: Path) -> None:
    """Removes what killed attempts left half-written beside a shard's archive; only for who holds its lock."""
    for leftover in archive.parent.glob(f"{TEMPORARY_PREFIX}*-{archive.stem}.*"):
        leftover.unlink()


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
        sums, _ = record.pop("sha256"), record.pop("flagged", None)
        if record != identity.record(expected[prompt_id]) or sums[_IMAGE] != images[prompt_id]:
            raise InputError(
                f"{path}: image {prompt_id} was made by other settings, weights or prompts; remove the archive"
            )
    return images


def is_finished(archive: Path, manifest: Path, prompts: Sequence[Prompt], identity: Identity) -> bool:
    """Whether a shard is there, whole and of this identity."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        check_archive(archive, prompts, identity)
    except (InputError, OSError, ValueError):
        return False
    return (content.get("fingerprint"), content.get("model_digest")) == (identity.fingerprint, identity.digest)


def count_samples(partial: Path) -> int:
    """Finished samples in a folder of work in progress, by their names alone."""
    return sum(1 for _ in partial.glob(f"[!.]*{_RECORD}"))


def forget_finished(images: Path) -> None:
    """Removes what `PartialShard.tidy` left, of every shard that has its archive and manifest.

    Args:
        images: folder with a folder per arm.
    """
    for folder in images.glob("*/.partial/*/"):
        shard = folder.parents[1] / folder.name
        if (
            shard.with_suffix(".tar").exists()
            and shard.with_suffix(".json").exists()
            and living_holder_of(lock_of(folder)) is None
        ):
            shutil.rmtree(folder)


def lock_of(partial: Path) -> Path:
    """The lock of a shard, beside the folder of its work in progress."""
    return partial.with_name(f"{partial.name}.lock")


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


def _record_bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
