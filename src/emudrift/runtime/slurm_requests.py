"""What a SLURM cluster would refuse, asked before anything is submitted."""

import itertools
import re
import shlex
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

SECONDS = 60
"""How long a command of SLURM may take."""
REMEDY = "change the block at the top of the SLURM profile"


def refusals(requests: Mapping[str, list[str]]) -> list[str]:
    """One line for each request that the cluster would refuse or never start.

    Args:
        requests: options of sbatch, as one string, and the rules whose jobs have them.
    """
    if not requests:
        return []
    limits = _walltime_limits()
    with ThreadPoolExecutor(4) as pool:
        reasons = [*pool.map(lambda options: _reason(options, limits), requests)]
    return [
        f"the cluster would refuse jobs of {', '.join(rules)}: {reason} (sbatch{options}); {REMEDY}"
        for (options, rules), reason in zip(requests.items(), reasons, strict=True)
        if reason
    ]


def _reason(options: str, limits: dict[str, float]) -> str:
    """Why a request would be refused; empty if it would not."""
    words = shlex.split(options)
    asked = dict(itertools.pairwise(words))
    partition, minutes = asked.get("-p", ""), asked.get("-t", "")
    # Many clusters accept a job that exceeds the limit, and let it wait for ever.
    if minutes.isdigit() and int(minutes) > limits.get(partition, float("inf")):
        return f"partition {partition} allows {limits[partition]:.0f} minutes, and they ask for {minutes}"
    try:
        answer = subprocess.run(
            ["sbatch", "--test-only", *words, "--wrap", "true"], capture_output=True, text=True, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"sbatch does not answer: {error}"
    said = (answer.stderr + answer.stdout).strip().splitlines() or [f"exit code {answer.returncode}"]
    return re.sub(r"^(sbatch: error|allocation failure): ", "", said[-1]) if answer.returncode else ""


def _walltime_limits() -> dict[str, float]:
    """Partition to its longest walltime in minutes; empty if sinfo does not say."""
    try:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--format=%R|%l"], capture_output=True, text=True, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = (row.strip().split("|") for row in answer.stdout.splitlines() if row.count("|") == 1)
    return {partition: _minutes(limit) for partition, limit in rows}


def _minutes(limit: str) -> float:
    """[days-]hours:minutes:seconds or minutes:seconds; anything else, such as "infinite", is no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if found is None:
        return float("inf")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return days * 1440 + hours * 60 + minutes + seconds / 60
