"""CPU seconds that Snakemake itself needs per finished job, at 500 and at 2,000 jobs that do nothing.

The workflow's own rules in a copy, with a `touch` of the outputs for each command, at the scheduler of profiles/slurm. Only the
process of Snakemake is counted, from its start to its end, not what it starts. The last line of output is JSON.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SHARD = 10
NO_OP = "for made in {output:q}; do case $made in *.*) touch $made;; *) mkdir -p $made;; esac; done"
DRIVER = """
import atexit, resource, snakemake.cli
atexit.register(lambda: print("driver", sum(resource.getrusage(resource.RUSAGE_SELF)[:2])))
snakemake.cli.main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[500, 2000], help="about as many jobs")
    figures: dict[str, float] = {}
    for wanted in parser.parse_args().jobs:
        # Best of two, since the speed of a shared machine varies.
        seconds, jobs = min(run(wanted) for _ in range(2))
        print(f"{jobs:,} jobs: {seconds:.1f} CPU seconds, {1000 * seconds / jobs:.1f} ms per job", flush=True)
        figures |= {f"cpu_seconds_per_job_{wanted}": round(seconds / jobs, 4), f"jobs_{wanted}": jobs}
    print(json.dumps(figures))


def run(wanted: int) -> tuple[float, int]:
    """CPU seconds of Snakemake, and the number of jobs that it ran."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("rules", "src", "demo", "envs"):
            shutil.copytree(ROOT / part, folder / part)
        shutil.copy(ROOT / "Snakefile", folder)
        for rules in folder.glob("rules/*.smk"):
            rules.write_text(
                re.sub(r"^    shell:\n(?: {8}.*\n)+", f'    shell:\n        "{NO_OP}"\n', rules.read_text(), flags=re.M)
            )
        config = yaml.safe_load((ROOT / "demo/config.yaml").read_text())
        shards = wanted // 4
        config |= {"shard_size": SHARD, "sample_sizes": [SHARD * shards], "guidance_scales": [3]}
        config |= {"models": config["models"][:2], "metrics": ["fid"]}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        scheduler = re.search(r"^scheduler: (\w+)", (ROOT / "profiles/slurm/config.yaml").read_text(), re.M)
        command = [sys.executable, "-c", DRIVER, "--cores", "4", "--scheduler", scheduler[1] if scheduler else "ilp"]
        done = subprocess.run(
            command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stdout[-3000:]}")
    said = re.search(r"^driver ([\d.]+)$", done.stdout, re.M)
    jobs = re.findall(r"^(\d+) of \d+ steps", done.stdout, re.M)
    assert said is not None
    return float(said[1]), int(jobs[-1])


if __name__ == "__main__":
    main()
