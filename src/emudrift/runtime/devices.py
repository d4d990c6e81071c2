"""Device selection: the device requested in the config or an error, never a silent fallback.

Jobs that run concurrently on one machine each lock a separate GPU: an flock on one file per GPU, which the kernel releases
when the process ends, for whatever reason. Locks are respected by jobs of the same user with the same folder for temporary
files, not by other users or programs.
"""

import fcntl
import logging
import os
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emudrift.errors import InputError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""Seconds between two checks whether a GPU is free."""

_held: dict[Path, int] = {}
"""Lock files held by this process, with their descriptors, which stay open until it ends."""


def torch_device(name: str) -> "torch.device":
    """The device `cuda` or `cpu`; for `cuda`, a GPU not locked by another job of this user, waiting until one is free.

    A process keeps its GPU until it ends, and gets the same one in every call. The GPU also becomes torch's current device in
    the calling thread. The visible GPUs (CUDA_VISIBLE_DEVICES) are up to SLURM or the user.

    Raises:
        InputError: a GPU is requested but none is available, or its lock cannot be created.
    """
    # Imported here, since `claim` does not need torch, whose import takes seconds.
    import torch

    if name != "cuda":
        return torch.device(name)
    device = torch.device("cuda", _claim_gpu())
    # Otherwise "cuda" without an index would still refer to the first GPU.
    torch.cuda.set_device(device)
    return device


def visible_devices(name: str) -> str:
    """The value of CUDA_VISIBLE_DEVICES that gives another program exactly that device; "" for `cpu`.

    The GPU is claimed as by `torch_device`, but not used by this process.

    Raises:
        InputError: as `torch_device`.
    """
    if name != "cuda":
        return ""
    index = _claim_gpu()
    visible = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    return visible[index] if visible else str(index)


def _claim_gpu() -> int:
    """Claims a GPU for this process and returns its index."""
    import torch

    if not torch.cuda.is_available():
        raise InputError("device: cuda is set in the config, but torch sees no GPU; set device: cpu to use the CPU")
    # By UUID, since indices depend on the visible GPUs: every SLURM job sees its GPU as number 0.
    uuids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    return claim(uuids, lock_folder())


def lock_folder() -> Path:
    """The folder of this user's GPU locks on this machine. Raises InputError if there is no folder for temporary files."""
    try:
        return Path(tempfile.gettempdir()) / f"emudrift-devices-{os.getuid()}"
    except FileNotFoundError as error:
        raise InputError(f"no folder for GPU locks ({error}); set TMPDIR to a writable folder") from error


def claim(names: Sequence[str], folder: Path) -> int:
    """Locks the first device that no other process holds and returns its index; waits until one is free.

    Args:
        names: at least one device, each with a name that is the same in every process and valid as a file name.
        folder: of the locks, the same in every process; created if necessary.

    Raises:
        InputError: the folder or a lock cannot be created.
    """
    paths = [folder / f"{name}.lock" for name in names]
    for index, path in enumerate(paths):
        if path in _held:
            return index
    waiting = False
    while True:
        _make_private(folder)
        for index, path in enumerate(paths):
            if _lock(path):
                if waiting:
                    logger.info("GPU %d is free now; continuing", index)
                return index
        if not waiting:
            holders = ", ".join(_holder(path) for path in paths)
            who = f"all {len(paths)} GPUs are in use by pids" if len(paths) > 1 else "the GPU is in use by pid"
            logger.info("%s %s; waiting", who, holders)
            waiting = True
        time.sleep(POLL_S)


def _make_private(folder: Path) -> None:
    """Creates the folder of locks. Raises InputError if that fails, or if it belongs to another user."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise InputError(f"{folder}: cannot create the folder for GPU locks ({error}); set TMPDIR") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise InputError(f"{folder}: not a folder owned by this user, so it cannot be used for GPU locks; set TMPDIR")


def _lock(path: Path) -> bool:
    """Tries to take the lock; False if another process holds it. Raises InputError if locking is not possible."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(f"{path}: cannot open a GPU lock ({error}); set TMPDIR to another folder") from error
    note = f"{os.getpid()} since {time.strftime('%F %T')}: {' '.join(sys.argv)}\n"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # For waiting jobs, and for people who inspect the file. Lock files are never removed, only rewritten.
        os.ftruncate(descriptor, 0)
        os.write(descriptor, note.encode(errors="surrogateescape"))
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError as error:
        os.close(descriptor)
        raise InputError(f"{path}: cannot lock the GPU ({error}); set TMPDIR to another folder") from error
    _held[path] = descriptor
    return True


def _holder(path: Path) -> str:
    """The pid in a lock file, or ? if its holder has not written it yet."""
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        words = []
    return words[0] if words else "?"


def _forget() -> None:
    """In a forked child: drops the locks, which belong to the parent and must not outlive it in the child."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
