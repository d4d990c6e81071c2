"""Snakemake on an experiment: in its place, or in the background with its output in a log."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from emudrift.config.experiment import Experiment
from emudrift.config.paths import PROJECT_MARKER, WORKFLOW
from emudrift.errors import InputError

_CORES = ("--cores", "-c", "--profile", "--jobs", "-j", "--executor", "-e")
_CONFIG = ("--configfile", "--configfiles")


def config_here(given: str | None) -> Path:
    """The config that is meant: the given one, or config.yaml of this folder or its project.

    Raises:
        InputError: there is none.
    """
    if given is not None:
        return Path(given)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "config.yaml").is_file() and ((folder / PROJECT_MARKER).is_file() or folder in (here, WORKFLOW)):
            return folder / "config.yaml"
    raise InputError(
        f"{here}: there is no config.yaml here; emudrift init DIR makes a project, --configfile names a config"
    )


def snakefile_of(experiment: Experiment) -> Path:
    """The project's, or that of the workflow."""
    own = experiment.project / "Snakefile"
    return own if own.is_file() else WORKFLOW / "Snakefile"


def command_line(experiment: Experiment, words: Sequence[str]) -> list[str]:
    """The command that runs Snakemake on an experiment; what Snakemake needs and the user did not say is added.

    Args:
        words: Snakemake's own, passed on as they are.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile_of(experiment)), *words]
    if not any(word.split("=")[0] in _CORES or word.startswith(("-c", "-j")) for word in words):
        command += ["--cores", "all"]
    return [*command, "--configfile", str(experiment.config_path)]


def become_snakemake(experiment: Experiment, words: Sequence[str]) -> None:
    """Replaces this process by Snakemake, in the experiment's project: signals, output and status are its own.

    Raises:
        InputError: `words` name another config.
    """
    if any(word.split("=")[0] in _CONFIG for word in words):
        raise InputError("emudrift run: give --configfile before Snakemake's own options, once")
    os.chdir(experiment.project)
    command = command_line(experiment, words)
    sys.stdout.flush()
    os.execv(command[0], command)


def run_quietly(experiment: Experiment, words: Sequence[str], log: Path) -> None:
    """Runs Snakemake with its output in a log.

    Raises:
        InputError: it failed; with the errors of the log, or its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command_line(experiment, words), cwd=experiment.project, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        ours = [line[line.index("error: ") + 7 :] for line in lines if "error: " in line]
        said = list(dict.fromkeys(ours)) or lines[-5:]
        raise InputError("\n".join([*said, f"Snakemake ended with status {done.returncode}; its output: {log}"]))


def output_of(experiment: Experiment, words: Sequence[str]) -> str:
    """What Snakemake prints. Raises InputError with its last line if it fails."""
    done = subprocess.run(
        command_line(experiment, words), cwd=experiment.project, capture_output=True, text=True, check=False
    )
    text = done.stdout + done.stderr
    if done.returncode:
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        raise InputError((errors or text.strip().splitlines() or ["no output"])[-1].removeprefix("error: "))
    return text
