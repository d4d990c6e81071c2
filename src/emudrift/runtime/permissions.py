"""Files and folders that belong to somebody else: what a user may not read or write, said before or instead of a traceback."""

import os
import pwd
from pathlib import Path

from emudrift.errors import InputError


def refuse_read_only(folder: Path) -> None:
    """Raises InputError if nothing can be written into a folder (or, if it does not exist, into its nearest parent)."""
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"{folder}: you may not write into this folder, which belongs to {owner_of(folder)}; ask for write permission, or "
            "use a clone of your own"
        )


def refuse_unreadable(path: str | Path) -> None:
    """Raises InputError if a file exists that this user may not read; whatever else is wrong is left to whoever reads it."""
    try:
        Path(path).open("rb").close()
    except PermissionError as error:
        raise InputError(
            f"{path}: you may not read this file, which belongs to {owner_of(Path(path))}: ask for read permission (chmod g+r); "
            "do not remove it, or it is computed again"
        ) from error
    except OSError:
        return


def owner_of(path: Path) -> str:
    """The owner's name, or their number if they have none on this machine."""
    try:
        number = path.stat().st_uid
    except OSError:
        return "another user"
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
