"""Projects: folders of a user's own with configs, results and resources, whose workflow is that of the installed package."""

import shutil
from itertools import dropwhile
from pathlib import Path

from emudrift.config.paths import PROJECT_MARKER, WORKFLOW
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import write_bytes_atomically

PROFILES = ("default", "local", "slurm")
_MARKER = "Results and resources of the experiments in this folder lie here: emudrift looks for this file.\n"
_SNAKEFILE = '''\
"""The workflow of emudrift for the experiments of this folder; results/, resources/ and logs lie here.

snakemake -n                    plan the experiment of config.yaml
snakemake --cores 4             run it on this machine
snakemake --profile slurm       run it on a cluster
"""

from emudrift.config.paths import WORKFLOW


include: str(WORKFLOW / "Snakefile")


rule everything:
    default_target: True
    input:
        rules.all.input,
'''
_CONFIG = """\
# yaml-language-server: $schema={schema}
# Paths are relative to this folder; those starting with ./ or ../ to this file. All keys: docs/configuration.md of emudrift.
"""
_GITIGNORE = "/results/\n/resources/\n/unpacked/\n/.snakemake/\n"


def write_project(folder: Path, config: bool = False) -> None:
    """Makes a folder a project, or leaves one as it is; what the user has changed stays.

    Args:
        config: also write the workflow's config.yaml with its comments, to begin with.

    Raises:
        InputError: the folder has other files and is no project, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a folder is needed")
    if not (folder / PROJECT_MARKER).is_file() and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: has other files and is no project of emudrift; choose a new or an empty folder")
    files = {PROJECT_MARKER: _MARKER, "Snakefile": _SNAKEFILE, ".gitignore": _GITIGNORE}
    if config:
        # Its first comments are those of a clone.
        lines = (WORKFLOW / "config.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
        own = "".join(dropwhile(lambda line: line.startswith("#"), lines))
        files["config.yaml"] = _CONFIG.format(schema=WORKFLOW / "schemas" / "config.schema.json") + own
    try:
        for name, text in files.items():
            if not (folder / name).exists():
                write_bytes_atomically(folder / name, text.encode())
        for name in PROFILES:
            source = WORKFLOW / "profiles" / name / "config.yaml"
            path = folder / "profiles" / name / "config.yaml"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, path)
        if not (folder / "slurm").exists():
            (folder / "slurm").symlink_to("profiles/slurm")  # Where `--profile slurm` looks.
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a project: {(error.strerror or str(error)).lower()}") from error
