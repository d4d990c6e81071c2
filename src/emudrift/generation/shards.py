"""Shards in the making: resumable folders of finished samples."""

import contextlib
import hashlib
import io
import json
import logging
import shutil
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emudrift.config.paths import ExperimentPaths, existing
from emudrift.data.image_io import encode_png
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.interface import GeneratedImage
from emudrift.runtime.atomic_files import TEMPORARY_PREFIX, write_bytes_atomically
from emudrift.runtime.locks import living_holder_of

logger = logging.getLogger(__name__)

IMAGE, TOKENS, RECORD = ".png", ".tokens.npy", ".json"
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
        effective_batch_size: how many images were generated in one batch.
    """

    codes: np.ndarray
    effective_batch_size: int


class PartialShard:
    """A shard in the making: a folder of finished samples that no rule declares, so that no failure deletes it."""

    def __init__(self, folder: Path, identity: Identity, size: tuple[int, int] | None) -> None:
        self.folder, self.identity, self.size = folder, identity, size
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, prompt: Prompt, drawing: GeneratedImage) -> None:
        """Writes a sample; its JSON comes last and vouches for the rest.

        Raises:
            InputError: the disk is full, or the image has the wrong size.
        """
        self._check_size(prompt, drawing.image.shape[1::-1])
        members = {IMAGE: encode_png(drawing.image)}
        if drawing.tokens is not None:
            members[TOKENS] = _npy(drawing.tokens)
        record = self.identity.record(prompt)
        record["sha256"] = {ending: hashlib.sha256(data).hexdigest() for ending, data in members.items()}
        if drawing.flagged:
            record["flagged"] = True
        if drawing.effective_batch_size is not None:
            record["drawn_together"] = drawing.effective_batch_size
        members[RECORD] = _record_bytes(record)
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
        if any(hashlib.sha256(members[ending]).hexdigest() != sums[ending] for ending in sums) or IMAGE not in sums:
            return None
        return members | {RECORD: data}

    def _read_record(self, prompt: Prompt) -> dict[str, Any]:
        return json.loads((self.folder / f"{prompt.prompt_id}{RECORD}").read_bytes())

    def flagged(self, prompts: Sequence[Prompt]) -> list[str]:
        """prompt_ids of the finished samples whose image a safety checker replaced."""
        return [prompt.prompt_id for prompt in prompts if self._read_record(prompt).get("flagged")]

    def effective_batch_sizes(self, prompts: Sequence[Prompt]) -> Counter[int]:
        """How many of the finished samples were drawn in batches of each size, as far as that can move a pixel."""
        sizes = Counter(tokens.effective_batch_size for tokens in self.read_tokens(prompts).values())
        alone = [self._read_record(prompt).get("drawn_together") for prompt in prompts]
        return sizes + Counter(size for size in alone if size is not None)

    def missing(self, prompts: Sequence[Prompt]) -> set[str]:
        """prompt_ids of the samples that are still to be made."""
        return {prompt.prompt_id for prompt in prompts if self.read(prompt) is None}

    def write_tokens(self, prompts: Sequence[Prompt], codes: np.ndarray, effective_batch_size: int) -> None:
        """Keeps the tokens of a batch, before anything is decoded.

        Args:
            codes: (batch, h, w) integers.
            effective_batch_size: how many images the generator sampled in one batch.

        Raises:
            InputError: the disk is full.
        """
        records = json.dumps([self.identity.record(prompt) for prompt in prompts])
        buffer = io.BytesIO()
        np.savez(buffer, codes=codes, records=np.array(records), drawn_together=effective_batch_size)
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
        return max((path.stat().st_mtime for path in self.folder.glob(f"[!.]*{RECORD}")), default=None)

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


def count_samples(partial: Path) -> int:
    """Finished samples in a folder of work in progress, by their names alone."""
    return sum(1 for _ in partial.glob(f"[!.]*{RECORD}"))


def forget_finished(paths: ExperimentPaths) -> None:
    """Removes what `PartialShard.tidy` left, of every shard that has its archive and manifest."""
    for folder, shard in existing(paths.partial("{arm}", "{rows}")):
        if (
            paths.archive(**shard).exists()
            and paths.manifest(**shard).exists()
            and living_holder_of(paths.lock(**shard)) is None
        ):
            shutil.rmtree(folder)


def _record_bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
