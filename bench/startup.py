"""CPU seconds that jobs cost: of each script before its first line of work, and of the whole demo, most of whose jobs are short.

    python bench/startup.py [--folder FOLDER]

A script is started with --help, twice, and the second time counts. The demo runs in a copy of the repository, so that results
that are there play no part; --folder keeps the copy. CPU seconds are those of all processes, user and system: on a shared
machine a clock on the wall would tell of the other jobs (and even these grow, by up to a half, where two threads share a core).
Ends with one line of JSON.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config.yaml", "pyproject.toml", "demo", "envs", "profiles", "rules", "schemas", "scripts", "src")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the demo's copy is made; default: a folder that is removed")
    arguments = parser.parse_args()
    scripts = {}
    for script in sorted((ROOT / "scripts").glob("*.py")):
        if script.name != "door.py":
            cpu_seconds([str(script), "--help"], ROOT)
            scripts[script.stem] = round(cpu_seconds([str(script), "--help"], ROOT), 2)
            print(f"{script.stem:24} {scripts[script.stem]:6.2f} CPU s", flush=True)
    with tempfile.TemporaryDirectory(prefix="emudrift-startup-") as room:
        folder = arguments.folder or Path(room, "emudrift")
        copy_to(folder)
        began = time.monotonic()
        demo = cpu_seconds(["demo/run.py", "--cores", "2"], folder)
        seconds = time.monotonic() - began
    print(f"{'the demo':24} {demo:6.1f} CPU s, in {seconds:.0f} s; load of the machine {os.getloadavg()[2]:.1f}")
    print(json.dumps({"demo_cpu_seconds": round(demo, 1), "demo_seconds": round(seconds, 1), "scripts": scripts}))


def cpu_seconds(arguments: list[str], folder: Path) -> float:
    """CPU seconds of a Python program and of all its processes. Ends the benchmark where it fails."""
    # Bytecode is kept, as it is by default, and the package is the folder's own, whatever is installed.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{arguments[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def copy_to(folder: Path) -> None:
    """What a fresh clone has of the workflow, without results and bytecode."""
    folder.mkdir(parents=True)
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, folder / name)


if __name__ == "__main__":
    main()
