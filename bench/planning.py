"""Time and memory for planning an experiment with many shards: `snakemake --dry-run` as run by a user.

Without arguments: 6 arms with 1,000 shards each (1.5 M images), then with 5,000 (7.5 M). The last line of output is JSON.
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
        # Best of two runs for the smaller size, since the speed of a shared machine varies.
        seconds, gigabytes, jobs = min(
            (plan(shards) for _ in range(2 if shards <= 1000 else 1)), key=lambda run: run[0] or LIMIT_S
        )
        said = "time limit exceeded" if seconds is None else f"{seconds:.1f} s, {gigabytes:.2f} GB, {jobs:,} jobs"
        print(f"6 arms x {shards:,} shards: {said}", flush=True)
        figures |= {f"seconds_6x{shards}": seconds, f"gigabytes_6x{shards}": gigabytes, f"jobs_6x{shards}": jobs}
    print(json.dumps(figures))


def plan(shards: int) -> tuple[float | None, float | None, int | None]:
    """Seconds, peak memory in GB, and number of jobs of a dry run; None if it exceeds the time limit."""
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
    # Maximum over all children so far, which is the last run, since runs become larger.
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    jobs = [line.split() for line in (run.stdout + run.stderr).splitlines() if line.startswith("total ")]
    return round(seconds, 1), round(memory / 1e9, 2), int(jobs[0][1]) if jobs else None


if __name__ == "__main__":
    main()
