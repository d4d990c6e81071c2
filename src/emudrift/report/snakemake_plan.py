"""What Snakemake itself would do about shards, so that `snakemake plan` and `snakemake -n` never disagree in silence."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from emudrift.config.experiment import Experiment
from emudrift.config.paths import WORKFLOW
from emudrift.generation.progress_of_arms import ArmState

Shards = set[tuple[str, str]]
"""Arm and rows."""


def shards_of_dry_run(experiment: Experiment, workflow: Path = WORKFLOW) -> Shards | str:
    """The shards whose jobs `snakemake -n` lists; or, if it fails, its last line."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow / "Snakefile")]
    command += [
        "--configfile",
        str(experiment.config_path),
        "--dry-run",
        "--until",
        "generate_shard",
        "--nolock",
        "--cores",
        "1",
    ]
    done = subprocess.run(command, cwd=experiment.project, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr + done.stdout).strip().splitlines()[-1]
    jobs = re.findall(
        r"^rule generate_shard:\n(?:    .*\n)*?    wildcards: (.*)$", done.stdout + done.stderr, flags=re.M
    )
    return {
        (job["arm"], job["rows"]) for job in (dict(part.split("=", 1) for part in each.split(", ")) for each in jobs)
    }


def agreement_view(states: Sequence[ArmState], planned: Shards | str) -> list[RenderableType]:
    """Where the disk and Snakemake differ; empty if they agree.

    Args:
        planned: as `shards_of_dry_run`.
    """
    if isinstance(planned, str):
        return ["", Text(f"snakemake -n fails: {planned}", style="yellow")]
    shards = [(state.arm.name, each) for state in states for each in state.shards]
    again = [each for arm, each in shards if each.done and (arm, each.shard.name) in planned]
    lost = [(arm, each) for arm, each in shards if not each.done and (arm, each.shard.name) not in planned]
    view: list[RenderableType] = []
    if again:
        view += [
            "",
            Text(
                f"snakemake -n also lists {len(again):,} finished shards, whose files it takes for out of date. Their jobs "
                "verify the images and generate none that is intact; snakemake --touch -c 1 avoids these jobs",
                style="yellow",
            ),
        ]
    if lost:
        view += ["", Text("snakemake -n does not list these shards, but their images are not there:", style="yellow")]
        view += [f"  {arm} {each.shard.name}: {each.worker or each.error or 'no archive'}" for arm, each in lost]
    return view
