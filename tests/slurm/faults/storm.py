"""Kills one shard's program at random moments, again and again; its archive must be the undisturbed one's, byte for byte.

    python tests/slurm/faults/storm.py [--kills 200] [--seed 0]

Needs no SLURM. Whenever the shard gets finished, it is begun anew. Every fourth kill is a SIGTERM, which a scheduler sends first.
Attempts are forks of a process that has imported everything, since importing takes several times as long as drawing.
"""

import argparse
import contextlib
import importlib
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from conftest import Workflow, small_config  # noqa: E402

ROWS = "000000-000010"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    room = Path(tempfile.mkdtemp(prefix="emudrift-storm-"))
    workflow = Workflow(room / "emudrift")
    config = workflow.write_config(small_config())
    workflow.results = workflow.folder / "results/small"
    workflow.snakemake("check", "--quiet", "all", config=config)
    (workflow.results / "images").mkdir()
    arm = next(line for line in workflow.planned(config=config)["generate_shard"] if "finetuned-cfg3" in line).split(
        "/"
    )[-2]
    command = [
        "scripts/generate_shard.py", "--config", str(config), "--arm", arm, "--rows", ROWS, "--batch-size", "1",
    ]  # fmt: skip
    folder = workflow.results / "images" / arm
    os.chdir(workflow.folder)
    subprocess.run([sys.executable, *command], check=True, stderr=subprocess.DEVNULL)
    expected = (folder / f"{ROWS}.tar").read_bytes()
    shutil.rmtree(folder)

    sys.path.insert(0, "scripts")
    runpy.run_path(command[0], run_name="imported")
    for module in ("emudrift.generation.emu3.generator", "transformers.models.emu3.modeling_emu3", "peft"):
        importlib.import_module(module)

    def start() -> int:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            sys.argv = command
            code = 1
            with contextlib.suppress(SystemExit):
                runpy.run_path(command[0], run_name="__main__")
                code = 0
            os._exit(code)
        return pid

    began = time.monotonic()
    assert ended(start()) == 0
    check(folder, expected)
    whole = time.monotonic() - began
    print(f"undisturbed: {whole:.1f} s; kills after 0 to {1.1 * whole:.1f} s", flush=True)

    kills, shards, at_work = 0, 0, 0
    while kills < arguments.kills:
        pid, limit = start(), time.monotonic() + moments.uniform(0, 1.1 * whole)
        while (code := ended(pid, os.WNOHANG)) is None and time.monotonic() < limit:
            time.sleep(0.002)
        if code is None:
            kills += 1
            at_work += bool(list(folder.glob(".partial/*/[0-9]*")))
            os.kill(pid, signal.SIGTERM if kills % 4 == 0 else signal.SIGKILL)
            ended(pid)
            archive = folder / f"{ROWS}.tar"
            assert not archive.exists() or archive.read_bytes() == expected, f"kill {kills}: half an archive"
            continue
        assert code == 0, f"ended with {code} after {kills} kills"
        shards += check(folder, expected)
    assert ended(start()) == 0
    shards += check(folder, expected)
    print(
        f"{kills} kills, {at_work} of them after the first image, in {time.monotonic() - began:.0f} s; {shards} shards were "
        "finished meanwhile, all with the bytes of the undisturbed one"
    )
    shutil.rmtree(room)


def ended(pid: int, options: int = 0) -> int | None:
    """How a process ended; None if it runs on."""
    found, status = os.waitpid(pid, options)
    return os.waitstatus_to_exitcode(status) if found else None


def check(folder: Path, expected: bytes) -> int:
    """A finished shard: right bytes, no lock and nothing half-written left. Removes it, so that the next one begins anew."""
    assert (folder / f"{ROWS}.tar").read_bytes() == expected, "other bytes than the undisturbed run"
    left = [path.name for path in folder.rglob("*") if path.name.startswith(".tmp-") or ".lock." in path.name]
    assert not left, f"left behind: {left}"
    shutil.rmtree(folder)
    return 1


if __name__ == "__main__":
    main()
