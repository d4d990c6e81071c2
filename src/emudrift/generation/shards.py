"""Shards in progress: resumable folders of finished samples."""

import hashlib
import io
import json
import logging
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emudrift.data.image_io import encode_png
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.interface import GeneratedImage
from emudrift.runtime.atomic_files import write_bytes_atomically

logger = logging.getLogger(__name__)

IMAGE, TOKENS, RECORD = ".png", ".tokens.npy", ".json"
_TOKEN_FOLDER = "tokens"
BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a record raises that is no JSON, or not what was written."""


@dataclass(frozen=True)
class Identity:
    """Settings and weights of an arm's images; samples with a different identity must not be mixed.

    Attributes:
        fingerprint: of the arm's settings.
        digest: sha256 over the model's files.
    """

    fingerprint: str
    digest: str

    def record(self, prompt: Prompt) -> dict[str, Any]:
        """The part of a sample's JSON record that is known before its image is generated."""
        return {
            "prompt_id": prompt.prompt_id,
            "caption": prompt.caption,
            "seed": prompt.seed,
            "fingerprint": self.fingerprint,
            "model_digest": self.digest,
        }

    def matches(self, record: Mapping[str, Any], prompt: Prompt) -> bool:
        """Whether a sample's whole record is of this identity and prompt."""
        varying = ("sha256", "flagged", "drawn_together")
        return {key: value for key, value in record.items() if key not in varying} == self.record(prompt)


@dataclass(frozen=True)
class Tokens:
    """The visual tokens of an image before decoding.

    Attributes:
        codes: (h, w) integers.
        effective_batch_size: size of the batch it was sampled in.
    """

    codes: np.ndarray
    effective_batch_size: int


class PartialShard:
    """A shard in progress: a folder of finished samples. No Snakemake rule declares it, so that no failure deletes it."""

    def __init__(self, folder: Path, identity: Identity, size: tuple[int, int] | None) -> None:
        self.folder, self.identity, self.size = folder, identity, size
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, prompt: Prompt, generated: GeneratedImage) -> None:
        """Writes a sample. Its JSON is written last and marks it as complete.

        Raises:
            InputError: the disk is full, or the image has the wrong size.
        """
        self._check_size(prompt, generated.image.shape[1::-1])
        members = {IMAGE: encode_png(generated.image)}
        if generated.tokens is not None:
            members[TOKENS] = _npy(generated.tokens)
        self.write_members(prompt, members, generated.flagged, generated.effective_batch_size)

    def write_members(
        self, prompt: Prompt, members: Mapping[str, bytes], flagged: bool, effective_batch_size: int | None
    ) -> None:
        """Writes a sample from its encoded members (image, tokens). Raises InputError if the disk is full."""
        record = self.identity.record(prompt)
        record["sha256"] = {ending: hashlib.sha256(data).hexdigest() for ending, data in members.items()}
        if flagged:
            record["flagged"] = True
        if effective_batch_size is not None:
            record["drawn_together"] = effective_batch_size
        for ending, data in {**members, RECORD: _record_bytes(record)}.items():
            write_bytes_atomically(self.folder / f"{prompt.prompt_id}{ending}", data)

    def read(self, prompt: Prompt) -> dict[str, bytes] | None:
        """The members of a finished sample, or None if it is missing, damaged or has another identity."""
        try:
            record = self._read_record(prompt)
            record.pop("drawn_together", None)  # Depends on the available memory, so it is not part of the archive.
            data, sums = _record_bytes(record), dict(record["sha256"])
            if not self.identity.matches(record, prompt):
                return None
            members = {ending: (self.folder / f"{prompt.prompt_id}{ending}").read_bytes() for ending in sums}
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, *BROKEN):
            return None  # What is in the way is replaced; a folder cannot be, and is named when the sample is written.
        if any(hashlib.sha256(members[ending]).hexdigest() != sums[ending] for ending in sums) or IMAGE not in sums:
            return None
        return members | {RECORD: data}

    def _read_record(self, prompt: Prompt) -> dict[str, Any]:
        return json.loads((self.folder / f"{prompt.prompt_id}{RECORD}").read_bytes())

    def flagged(self, prompts: Sequence[Prompt]) -> list[str]:
        """prompt_ids of the finished samples whose image was replaced by a safety checker."""
        return [prompt.prompt_id for prompt in prompts if self._read_record(prompt).get("flagged")]

    def effective_batch_sizes(self, prompts: Sequence[Prompt]) -> Counter[int]:
        """Number of finished samples by effective batch size, for samples whose pixels it can affect."""
        sizes = Counter(tokens.effective_batch_size for tokens in self.read_tokens(prompts).values())
        alone = [self._read_record(prompt).get("drawn_together") for prompt in prompts]
        return sizes + Counter(size for size in alone if size is not None)

    def missing(self, prompts: Sequence[Prompt]) -> set[str]:
        """prompt_ids of the samples still to be generated."""
        return {prompt.prompt_id for prompt in prompts if self.read(prompt) is None}

    def write_tokens(self, prompts: Sequence[Prompt], codes: np.ndarray, effective_batch_size: int) -> None:
        """Stores the tokens of a batch before they are decoded.

        Args:
            codes: (batch, h, w) integers.
            effective_batch_size: actual batch size of the generator.

        Raises:
            InputError: the disk is full.
        """
        records = json.dumps([self.identity.record(prompt) for prompt in prompts])
        buffer = io.BytesIO()
        np.savez(buffer, codes=codes, records=np.array(records), drawn_together=effective_batch_size)
        name = f"{prompts[0].row:06d}-{prompts[-1].row + 1:06d}.npz"
        write_bytes_atomically(self.folder / _TOKEN_FOLDER / name, buffer.getvalue())

    def read_tokens(self, prompts: Sequence[Prompt]) -> dict[str, Tokens]:
        """prompt_id to the tokens stored by earlier attempts; damaged files and tokens with another identity are ignored."""
        wanted = {prompt.prompt_id: self.identity.record(prompt) for prompt in prompts}
        found = {}
        for path in sorted((self.folder / _TOKEN_FOLDER).glob("[0-9]*.npz")):
            try:
                with np.load(path, allow_pickle=False) as file:
                    codes, records = file["codes"], json.loads(str(file["records"]))
                    together = int(file["drawn_together"])
                samples = {record["prompt_id"]: (record, code) for record, code in zip(records, codes, strict=True)}
            except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
                continue
            for prompt_id, (record, code) in samples.items():
                if record == wanted.get(prompt_id):
                    found[prompt_id] = Tokens(code, together)
        return found

    def newest(self) -> float | None:
        """Time at which the last sample was written, in seconds since the epoch; None without samples."""
        return max((path.stat().st_mtime for path in self.folder.glob(f"[!.]*{RECORD}")), default=None)

    def tidy(self) -> None:
        """Removes everything: the shard is packed."""
        # A file that cannot be removed (e.g. still held open by a file server) must not fail a finished shard.
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_size(self, prompt: Prompt, size: tuple[int, ...]) -> None:
        if self.size is not None and tuple(size) != self.size:
            raise InputError(
                f"{self.folder / prompt.prompt_id}: the image has {size[0]} x {size[1]} pixels, expected {self.size}"
            )


def count_samples(partial: Path) -> int:
    """Number of finished samples in a shard's folder, by file names only."""
    return sum(1 for _ in partial.glob(f"[!.]*{RECORD}"))


def _record_bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
