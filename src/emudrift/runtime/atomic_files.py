"""Atomic file writes: to a temporary file in the same folder, flushed to disk, then renamed."""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emudrift.errors import InputError
from emudrift.runtime.permissions import refuse_unreadable

TEMPORARY_PREFIX = ".tmp-"
CHECKSUM_ENDING = ".sha256"

_HINTS = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some of your quota and run again",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) and run again",
    errno.EACCES: "choose a folder that you may write to",
    errno.EROFS: "run again when the file system can be written to, or choose a folder on another one",
}


def checksum_file(path: Path) -> Path:
    """Next to a file: its sha256, in the format of `sha256sum`."""
    return path.with_name(f"{path.name}{CHECKSUM_ENDING}")


def check_sha256(path: str | Path, remedy: str = "remove it and run again") -> None:
    """Compares a file with the sha256 next to it; passes where there is none (files of version 0.2 and older).

    Args:
        remedy: what to do about a file that is another one, for the error message.

    Raises InputError if the file is not the one that was written, or cannot be read.
    """
    path = Path(path)
    refuse_unreadable(path)
    try:
        said = checksum_file(path).read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot read {checksum_file(path)}: {(error.strerror or str(error)).lower()}") from error
    if path.exists() and said != _checksum_line(path, path.name):
        raise InputError(f"{path}: is not what was written, by the sha256 next to it: damaged or edited; {remedy}")


def write_checksum(path: Path) -> None:
    """Writes the sha256 of a file next to it. Raises InputError if it cannot."""
    write_bytes_atomically(checksum_file(path), _checksum_line(path, path.name))


def sha256_of(path: Path) -> str:
    """Raises InputError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def _checksum_line(path: Path, name: str) -> bytes:
    return f"{sha256_of(path)}  {name}\n".encode()


@contextmanager
def atomic_path(path: str | Path, checksum: bool = False) -> Iterator[Path]:
    """Yields a temporary path that is renamed to `path` when the `with` block ends, or removed if the block fails.

    The temporary name starts with `.tmp-`, keeps the suffix (which np.save and matplotlib depend on) and is in the same
    folder, since renames are atomic only within one file system. The folder is created if necessary. A killed process leaves
    at most the temporary file; an existing file at `path` is untouched until the rename.

    Args:
        checksum: also writes the file's sha256 next to it, before the rename, for `check_sha256`.

    Raises InputError, naming `path` and the reason, if the file cannot be written (disk full, no permission, ...).
    """
    path = Path(path)
    # Keeps the end of the name, which has the suffix; truncated so that the whole name is below 255 bytes.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:12]}-{path.name[-48:]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if checksum:
            write_bytes_atomically(checksum_file(path), _checksum_line(temporary, path.name))
        os.replace(temporary, path)
    except OSError as error:
        # An OSError about another file (e.g. an input read inside the block) is passed on unchanged.
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (temporary, path, *path.parents):
            raise
        reason = (error.strerror or str(error)).lower()
        hint = f"; {_HINTS[error.errno]}" if error.errno in _HINTS else ""
        raise InputError(f"cannot write {path}: {reason}{hint}") from error
    finally:
        # Also after KeyboardInterrupt and SystemExit. A failing removal (after the rename the file is gone) must not mask
        # the original error.
        with suppress(OSError):
            temporary.unlink()


def write_bytes_atomically(path: str | Path, data: bytes, checksum: bool = False) -> None:
    """Atomically writes `data` to `path`, replacing an existing file; `checksum` as for `atomic_path`.

    Raises InputError, naming `path` and the reason, if the file cannot be written.
    """
    with atomic_path(path, checksum) as temporary:
        temporary.write_bytes(data)


def hard_link(source: Path, path: Path) -> None:
    """Creates a hard link. If several processes create the same link, exactly one succeeds.

    Raises:
        FileExistsError: `path` already exists.
        FileNotFoundError: `source` does not exist.
        InputError: the file system does not support hard links.
    """
    try:
        os.link(source, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise InputError(
            f"cannot link {path}: {(error.strerror or str(error)).lower()}; results must be on a file system with hard links"
        ) from error
