"""Time and memory of planning an experiment with many shards: `snakemake --dry-run` as a user runs it.

Without arguments: 6 arms of 1,000 shards (1.5 M images), then 6 of 5,000 (7.5 M). Ends with one line of JSON.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SHARD = 250
LIMIT_S = 420


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[1000, 5000], help="shards per arm")
    figures: dict[str, float | None] = {}
    for shards in parser.parse_args().shards:
        # The best of two where that is quick: a shared machine is slower now and faster then.
        seconds, gigabytes, jobs = min(
            (plan(shards) for _ in range(2 if shards <= 1000 else 1)), key=lambda run: run[0] or LIMIT_S
        )
        said = "not done" if seconds is None else f"{seconds:.1f} s, {gigabytes:.2f} GB, {jobs:,} jobs"
        print(f"6 arms x {shards:,} shards: {said}", flush=True)
        figures |= {f"seconds_6x{shards}": seconds, f"gigabytes_6x{shards}": gigabytes, f"jobs_6x{shards}": jobs}
    print(json.dumps(figures))


def plan(shards: int) -> tuple[float | None, float | None, int | None]:
    """Seconds, the most memory in GB, and jobs of a dry run; None each where it takes longer than the limit."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config |= {"name": "planning", "shard_size": SHARD, "sample_sizes": [SHARD * shards // 2, SHARD * shards]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--dry-run",
            "--configfile",
            str(path),
            "--cores",
            "1",
            "--quiet",
            "rules",
        ]
        start = time.perf_counter()
        try:
            run = subprocess.run(
                command, cwd=ROOT, text=True, capture_output=True, timeout=LIMIT_S, env=os.environ, check=False
            )
        except subprocess.TimeoutExpired:
            return None, None, None
        seconds = time.perf_counter() - start
    if run.returncode:
        sys.exit(f"the dry run failed:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    # Of all children so far, the largest: the runs grow, so it is the last.
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    jobs = [line.split() for line in (run.stdout + run.stderr).splitlines() if line.startswith("total ")]
    return round(seconds, 1), round(memory / 1e9, 2), int(jobs[0][1]) if jobs else None


if __name__ == "__main__":
    main()
