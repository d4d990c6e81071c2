"""`emudrift plan --jobs`: what a dry run of Snakemake plans, one line for each rule."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from emudrift.runtime.terminal import table

MISSING = "Missing output files"
_FOLLOWS = "Input files updated by another job"
_PLAINLY = {
    "Updated input files": "inputs are newer",
    "Forced execution": "forced",
    _FOLLOWS: "follows from other jobs",
    "Code has changed since last execution": "the rule was changed",
    "Params have changed since last execution": "settings were changed",
    "Set of input files has changed since last execution": "other inputs than before",
    "Software environment definition has changed since last execution": "the environment was changed",
    "Incomplete output files": "was interrupted",
}
"""Snakemake's reasons in fewer words."""


@dataclass(frozen=True)
class PlannedJob:
    """A job of a dry run; `reasons` without the files that they name."""

    rule: str
    reasons: tuple[str, ...]

    @property
    def is_new(self) -> bool:
        """Whether its outputs are not there, in contrast to made again."""
        return MISSING in self.reasons


def planned_jobs(text: str) -> list[PlannedJob]:
    """The jobs that the output of `snakemake --dry-run` lists, without targets that make nothing themselves."""
    found = []
    for rule, block in re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", text, flags=re.M):
        if not re.search(r"^    output: ", block, flags=re.M):
            continue
        said = re.search(r"^    reason: (.*)$", block, flags=re.M)
        parts = re.split(r"; (?=[A-Z])", said[1]) if said else []
        found.append(PlannedJob(rule, tuple(part.partition(":")[0].strip() for part in parts)))
    return found


def jobs_view(jobs: Sequence[PlannedJob]) -> list[RenderableType]:
    """How many jobs each rule has, new or again, and why again."""
    if not jobs:
        return ["nothing to be done: all results are up to date"]
    rows = []
    for rule in dict.fromkeys(job.rule for job in jobs):
        ours = [job for job in jobs if job.rule == rule]
        again = [job for job in ours if not job.is_new]
        why = Counter(reason for job in again for reason in _causes(job))
        rows.append(
            {
                "rule": rule,
                "jobs": f"{len(ours):,}",
                "new": f"{len(ours) - len(again):,}",
                "again": f"{len(again):,}",
                "why again": ", ".join(_PLAINLY.get(reason, reason.lower()) for reason, _ in why.most_common()),
            }
        )
    new = sum(job.is_new for job in jobs)
    rows.append(
        {"rule": "all", "jobs": f"{len(jobs):,}", "new": f"{new:,}", "again": f"{len(jobs) - new:,}", "why again": ""}
    )
    return [table(rows)]


def _causes(job: PlannedJob) -> list[str]:
    """Why a job runs again: what follows from other jobs only where nothing else does."""
    own = [reason for reason in job.reasons if reason != _FOLLOWS]
    return own or list(job.reasons)
