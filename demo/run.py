"""Runs the demo experiment with Snakemake, shows a progress bar, and prints the verdict."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from emudrift.config.experiment import Experiment
from emudrift.config.paths import ExperimentPaths
from emudrift.evaluation.tables import (
    COMPARISON_COLUMNS,
    EXCHANGE_COLUMNS,
    FID_COLUMNS,
    SET_DIFFERENCE_COLUMNS,
    load_table,
)
from emudrift.report.answer import whole
from emudrift.report.answer.exchange import exchange_answer
from emudrift.runtime.progress import Progress
from emudrift.runtime.terminal import fail, show, start_logging

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "demo" / "config.yaml"
PATHS = Experiment.load(CONFIG).paths
STEPS = re.compile(r"(\d+) of (\d+) steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2, help="CPU cores to use")
    arguments = parser.parse_args()
    start_logging()
    log = PATHS.results / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    show(f"Running the demo: the whole study with miniature models; details in {log.relative_to(ROOT)}")
    if run(arguments.cores, log) != 0:
        explain(log)
    show(*answer(PATHS))


def run(cores: int, log: Path) -> int:
    """Runs Snakemake, writing its output to the log; returns its exit status."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "demo/config.yaml", "--cores", str(cores)]
    # One thread per job: two concurrent jobs are faster than two threads in each.
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    rule = ""
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
        Progress("demo", 0, "job") as progress,
    ):
        for line in process.stdout or ():
            file.write(line)
            file.flush()
            if match := STEPS.search(line):
                progress.total = int(match[2])
                progress.update(int(match[1]) - progress.done, rule)
            elif match := re.match(r"(?:local)?rule (\w+):", line):
                rule = match[1]
                progress.update(0, rule)
    return process.returncode


def explain(log: Path) -> None:
    """Exits with the reason of the failure, taken from Snakemake's log."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if "LockException" in text:
        fail(
            "another run is using this folder, or one was killed; "
            "if none is running: .venv/bin/snakemake --unlock --configfile demo/config.yaml"
        )
    print("\n".join([line.rstrip() for line in text.splitlines() if "rror" in line][-12:]), file=sys.stderr)
    fail(f"the demo failed, see {log.relative_to(ROOT)}; running it again resumes where it stopped")


def answer(paths: ExperimentPaths) -> list[RenderableType]:
    """The verdict, the exchange rate and the path of the report."""
    comparison, fid, between = (
        load_table(paths.comparison_table, COMPARISON_COLUMNS),
        load_table(paths.fid_table, FID_COLUMNS),
        load_table(paths.set_differences, SET_DIFFERENCE_COLUMNS),
    )
    found = whole.answer(Experiment.load(CONFIG), comparison, fid, {}, between)
    exchange = []
    if paths.exchange_table.exists():
        rate = exchange_answer(load_table(paths.exchange_table, EXCHANGE_COLUMNS))
        exchange = [
            "",
            Padding(Text(rate.headline, style="bold"), 0, expand=False),
            *(Padding(Text(said), (0, 0, 0, 2), expand=False) for said in rate.statements),
        ]
    return [
        "",
        Padding(Text(found.lead, style="bold"), 0, expand=False),
        *(
            Padding(Text(f"{name}: {statement.text}"), (0, 0, 0, 2), expand=False)
            for name, of_set in found.verdicts.items()
            for statement in of_set.statements
        ),
        *(Padding(Text(f"* {caveat}", style="dim"), (0, 0, 0, 2), expand=False) for caveat in found.caveats),
        *exchange,
        "",
        Text.assemble(("Report: ", "bold"), str(paths.page)),
    ]


if __name__ == "__main__":
    main()
