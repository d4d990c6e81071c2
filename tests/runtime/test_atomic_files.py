"""Files are there completely or not at all, also when the disk is full or the process is killed."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from emudrift.errors import InputError
from emudrift.runtime.atomic_files import atomic_path, write_bytes_atomically

# Runs in a process of its own, since the limit on file sizes holds for a whole process. Each writer has 1 MB to write.
WRITE_TOO_MUCH = """
import json, resource, sys
from pathlib import Path
import numpy as np, pandas as pd
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import atomic_path, write_bytes_atomically
from emudrift.data.prompt_table import write_prompts

def save_array(path):
    with atomic_path(path) as temporary:
        np.save(temporary, np.zeros(1 << 17))

n = 1 << 16
noise = np.random.default_rng(0).integers(0, 2**62, n)
ids = pd.Series(noise.astype(str), dtype="str")
table = pd.DataFrame(dict(row=np.arange(n), prompt_id=ids, image_id=noise, file_name=ids, caption=ids,
    width=np.zeros(n, np.int32), height=np.zeros(n, np.int32), seed=noise.astype(np.uint64)))
folder = Path(sys.argv[1])
if sys.argv[2] == "file size limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
for name, write in {"bytes.png": lambda path: write_bytes_atomically(path, b"x" * (1 << 20)), "array.npy": save_array,
                    "prompts.parquet": lambda path: write_prompts(table, path)}.items():
    try:
        write(folder / name)
        print(json.dumps([name, "written"]))
    except InputError as error:
        print(json.dumps([name, str(error)]))
"""


@pytest.mark.parametrize("fault", ["file size limit", "full disk"])
def test_a_full_disk_leaves_the_old_files_and_nothing_half_written(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    if fault == "full disk":
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
        if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("NOT TESTED: a disk that is really full; mounting a small tmpfs needs Linux and root")
    try:
        names = ["array.npy", "bytes.png", "prompts.parquet"]
        for name in names:
            (folder / name).write_bytes(b"old")
        command = [sys.executable, "-c", WRITE_TOO_MUCH, str(folder), fault]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        messages = dict(json.loads(line) for line in result.stdout.splitlines())
        assert sorted(os.listdir(folder)) == names
        assert all((folder / name).read_bytes() == b"old" for name in names)
    finally:
        if fault == "full disk":
            subprocess.run(["umount", str(folder)], check=True)
    assert sorted(messages) == names
    reason = "no space left on device" if fault == "full disk" else "file too large"
    for name, message in messages.items():
        assert f"cannot write {folder / name}: " in message
        # numpy says only how many items it wrote.
        assert reason in message or (name == "array.npy" and "requested and" in message)


def test_a_killed_writer_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"old")
    program = (
        "import os, signal, sys\nfrom emudrift.runtime.atomic_files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (left,) = set(os.listdir(tmp_path)) - {"image.png"}
    assert left.startswith(".tmp-")
    assert left.endswith(".png")


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("mine"), FileNotFoundError(2, "gone", "/some/input")]
)
def test_an_error_inside_the_block_comes_out_as_it_is_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "new" / "table.csv"

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)) as caught:
        fail_half_way()
    assert caught.value is error
    assert os.listdir(path.parent) == []


def test_what_is_written_is_there_with_ordinary_permissions(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "deep" / f"{'é' * 120}.bin"
    plain.touch()
    for data in (b"first", b"second"):
        write_bytes_atomically(path, data)
        assert path.read_bytes() == data
    assert os.listdir(path.parent) == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for path in (tmp_path / "file" / "image.png", tmp_path / "folder"):
        with pytest.raises(InputError, match=f"cannot write {path}: "):
            write_bytes_atomically(path, b"data")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
