"""Files that are there completely or not at all: written beside their place, flushed to the disk, then renamed."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emudrift.errors import InputError

TEMPORARY_PREFIX = ".tmp-"

_HINTS = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some of your quota and run again",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) and run again",
    errno.EACCES: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path to write to, which becomes `path` when the `with` block ends and vanishes when it fails.

    The temporary name starts with `.tmp-`, keeps the suffix (np.save and matplotlib look at it) and lies in the same
    folder, since a rename is only atomic within one file system. The folder is made if it is missing. A process that is
    killed leaves at most the temporary file; what was at `path` before stays untouched until the rename.

    Raises InputError, naming `path` and the reason, when the file cannot be written (disk full, no permission, ...).
    """
    path = Path(path)
    # The end of the name is kept, since it carries the suffix; 64 characters keep the whole under 255 bytes.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:12]}-{path.name[-48:]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        # An OSError about another file (an input read inside the block) is not ours to explain.
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (temporary, path, *path.parents):
            raise
        reason = (error.strerror or str(error)).lower()
        hint = f"; {_HINTS[error.errno]}" if error.errno in _HINTS else ""
        raise InputError(f"cannot write {path}: {reason}{hint}") from error
    finally:
        # Also after KeyboardInterrupt and SystemExit. Whatever keeps it from being removed (nothing there after the
        # rename, a folder that is no folder) must not hide the error that is on its way up.
        with suppress(OSError):
            temporary.unlink()


def write_bytes_atomically(path: str | Path, data: bytes) -> None:
    """Writes `data` to `path`, completely or not at all; what was there before is replaced.

    Raises InputError, naming `path` and the reason, when the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def hard_link(source: Path, path: Path) -> None:
    """Gives a file a second name. Exactly one of many that try the same name succeeds.

    Raises:
        FileExistsError: the name is taken.
        FileNotFoundError: the file is gone.
        InputError: the file system knows no hard links.
    """
    try:
        os.link(source, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise InputError(
            f"cannot link {path}: {(error.strerror or str(error)).lower()}; results must lie on a file system with hard links"
        ) from error
