"""The device that the config asks for, or an error: never another one in its place.

Jobs that run side by side on one machine take a GPU of their own each: a lock on a file per GPU, which the kernel frees
when the process ends, however it ends. The locks hold among one user's jobs that share a folder for temporary files, not
against other users or other programs.
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
"""Seconds between two looks whether a GPU is free."""

_held: dict[Path, int] = {}
"""Lock files that this process holds, with their descriptors: open for as long as it lives."""


def torch_device(name: str) -> "torch.device":
    """The device `cuda` or `cpu`; for `cuda` a GPU that no other job of this user has, waiting until there is one.

    A process keeps its GPU until it ends, and gets the same one whenever it asks again. It becomes torch's current device
    in the calling thread, too. Which GPUs are visible (CUDA_VISIBLE_DEVICES) is left to SLURM or the user.

    Raises:
        InputError: a GPU is asked for and none is there, or its lock cannot be made.
    """
    # Here, since claiming needs no torch, whose import takes seconds.
    import torch

    if name != "cuda":
        return torch.device(name)
    device = torch.device("cuda", _claim_gpu())
    # Else a plain "cuda" would still mean the first GPU.
    torch.cuda.set_device(device)
    return device


def visible_devices(name: str) -> str:
    """What another program's CUDA_VISIBLE_DEVICES must say for it to have that device and no other; "" for `cpu`.

    The GPU is claimed as by `torch_device`, but nothing of this process goes onto it.

    Raises:
        InputError: as `torch_device`.
    """
    if name != "cuda":
        return ""
    index = _claim_gpu()
    visible = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    return visible[index] if visible else str(index)


def _claim_gpu() -> int:
    """Index of a GPU that is this process's alone from now on."""
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            "device: cuda is asked for in the config, but torch sees no GPU; set device: cpu to use the CPU"
        )
    # By UUID: the numbers depend on what is visible, and each job of SLURM sees its GPU as number 0.
    uuids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    return claim(uuids, lock_folder())


def lock_folder() -> Path:
    """Where this user's jobs on this machine lock devices. Raises InputError if there is no folder for temporary files."""
    try:
        return Path(tempfile.gettempdir()) / f"emudrift-devices-{os.getuid()}"
    except FileNotFoundError as error:
        raise InputError(f"no folder for the locks of GPUs ({error}); set TMPDIR to one that can be written") from error


def claim(names: Sequence[str], folder: Path) -> int:
    """Index of the first device that no other process holds, held from now on by this one; waits until there is one.

    Args:
        names: at least one device, each by a name that is the same in every process and can be a file name.
        folder: of the locks, the same in every process; made if absent.

    Raises:
        InputError: the folder or a lock in it cannot be made.
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
                    logger.info("GPU %d is free now; going on", index)
                return index
        if not waiting:
            holders = ", ".join(_holder(path) for path in paths)
            who = f"all {len(paths)} GPUs are in use by pids" if len(paths) > 1 else "the GPU is in use by pid"
            logger.info("%s %s; waiting", who, holders)
            waiting = True
        time.sleep(POLL_S)


def _make_private(folder: Path) -> None:
    """Makes the folder of locks. Raises InputError if that fails, or if it is not this user's own."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise InputError(f"{folder}: cannot make the folder for the locks of GPUs ({error}); set TMPDIR") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise InputError(f"{folder}: is not a folder of this user, so it cannot hold the locks of GPUs; set TMPDIR")


def _lock(path: Path) -> bool:
    """Whether this process now holds the lock; False where another one does. Raises InputError if there can be no lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(f"{path}: cannot open the lock of a GPU ({error}); set TMPDIR to another folder") from error
    note = f"{os.getpid()} since {time.strftime('%F %T')}: {' '.join(sys.argv)}\n"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # For the job that waits, and for whoever looks into the file. A lock file is never removed, but written anew.
        os.ftruncate(descriptor, 0)
        os.write(descriptor, note.encode(errors="surrogateescape"))
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError as error:
        os.close(descriptor)
        raise InputError(f"{path}: cannot lock a GPU ({error}); set TMPDIR to another folder") from error
    _held[path] = descriptor
    return True


def _holder(path: Path) -> str:
    """The pid that a lock file names, or ? where its holder has not written it yet."""
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        words = []
    return words[0] if words else "?"


def _forget() -> None:
    """In a forked child: the device is its parent's alone, and must not stay locked if the child lives longer."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
