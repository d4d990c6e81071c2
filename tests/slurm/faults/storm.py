"""Kills one shard's program at random moments, again and again; its archive must be the undisturbed one's, byte for byte.

    python tests/slurm/faults/storm.py [--kills 200] [--seed 0]

Needs no SLURM. Whenever the shard gets finished, it is begun anew. Every fourth kill is a SIGTERM, which a scheduler sends first.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
from conftest import Workflow, small_config

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
        sys.executable, "scripts/generate_shard.py", "--config", str(config), "--arm", arm, "--rows", ROWS,
        "--prompts", str(workflow.results / "prompts.parquet"), "--model", str(workflow.results / "models/finetuned.json"),
        "--batch-size", "1",
    ]  # fmt: skip

    def start(folder: Path) -> subprocess.Popen:
        outputs = ["--archive", str(folder / f"{ROWS}.tar"), "--manifest", str(folder / f"{ROWS}.json")]
        return subprocess.Popen(
            [*command, *outputs],
            cwd=workflow.folder,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    began = time.monotonic()
    assert start(room / "undisturbed").wait() == 0
    whole = time.monotonic() - began
    expected = (room / "undisturbed" / f"{ROWS}.tar").read_bytes()
    print(f"undisturbed: {whole:.1f} s; a kill after 0 to {1.1 * whole:.1f} s each", flush=True)

    kills, shards, at_work, folder = 0, 0, 0, room / "storm"
    while kills < arguments.kills:
        process = start(folder)
        try:
            code = process.wait(moments.uniform(0, 1.1 * whole))
        except subprocess.TimeoutExpired:
            kills += 1
            at_work += bool(list(folder.glob(".partial/*/[0-9]*")))
            process.send_signal(signal.SIGTERM if kills % 4 == 0 else signal.SIGKILL)
            process.wait()
            archive = folder / f"{ROWS}.tar"
            assert not archive.exists() or archive.read_bytes() == expected, f"kill {kills}: half an archive"
            continue
        assert code == 0, f"ended with {code} after {kills} kills"
        shards += check(folder, expected)
    assert start(folder).wait() == 0
    shards += check(folder, expected)
    print(
        f"{kills} kills, {at_work} of them after the first image, in {time.monotonic() - began:.0f} s; {shards} shards were "
        "finished meanwhile, all with the bytes of the undisturbed one"
    )
    shutil.rmtree(room)


def check(folder: Path, expected: bytes) -> int:
    """A finished shard: right bytes, nothing left beside it. Removes it, so that the next one begins anew."""
    assert (folder / f"{ROWS}.tar").read_bytes() == expected, "other bytes than the undisturbed run"
    left = {path.name for path in folder.iterdir()} - {f"{ROWS}.tar", f"{ROWS}.json", ".partial"}
    assert not left, f"left behind: {left}"
    assert not list((folder / ".partial").iterdir()), "work in progress was left behind"
    shutil.rmtree(folder)
    return 1


if __name__ == "__main__":
    main()
