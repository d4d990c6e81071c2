"""Runs the demo experiment with Snakemake, shows one progress bar, and ends with the answer."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from emudrift.comparison import load_table
from emudrift.report.verdict import verdict

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "demo"
STEPS = re.compile(r"(\d+) of (\d+) steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2, help="CPU cores to use")
    arguments = parser.parse_args()
    log = RESULTS / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"The whole study in small; details in {log.relative_to(ROOT)}", flush=True)
    if run(arguments.cores, log) != 0:
        if "LockException" in log.read_text(encoding="utf-8", errors="replace"):
            sys.exit(
                "Another run is using this folder, or one was killed. If none is running, unlock it and run again:\n"
                "  .venv/bin/snakemake --unlock --configfile demo/config.yaml"
            )
        errors = [line.rstrip() for line in log.open(encoding="utf-8", errors="replace") if "rror" in line]
        print("\n".join(errors[-12:]), file=sys.stderr)
        sys.exit(
            f"The demo failed; the whole story is in {log.relative_to(ROOT)}. Run it again: it goes on where it stopped."
        )
    fid, comparison = load_table(RESULTS / "fid.csv"), load_table(RESULTS / "comparison.csv")
    print(f"\n{verdict(comparison, fid, 'base', ['tokenizer']).text()}\n\nReport: {RESULTS / 'report.html'}")


def run(cores: int, log: Path) -> int:
    """Runs Snakemake with its output in the log; returns its exit status."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "demo/config.yaml", "--cores", str(cores)]
    # One thread per job: two jobs side by side are faster than two threads in each.
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
        tqdm(unit="job", desc="demo", dynamic_ncols=True, smoothing=0) as bar,
    ):
        for line in process.stdout or ():
            file.write(line)
            file.flush()
            if match := STEPS.search(line):
                bar.total = int(match[2])
                bar.update(int(match[1]) - bar.n)
            elif match := re.match(r"(?:local)?rule (\w+):", line):
                bar.set_postfix_str(match[1])
    return process.returncode


if __name__ == "__main__":
    main()
