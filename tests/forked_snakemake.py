"""Snakemake, imported once: a process that forks for each run asked of it, in place of an interpreter that imports it again.

Reads one run per line from stdin, as JSON (`folder`, `arguments`, `environment`, `output`), and answers with its exit
status. A run is what `python -m snakemake` is in that folder: a process of its own, with nothing left of the runs before.
"""

import json
import os
import signal
import sys

# What a run imports besides: rich for its log, docutils for captions, PIL and pydantic for the package's own rooms.
import docutils.parsers.rst.directives.images  # noqa: F401
import PIL.Image  # noqa: F401
import pydantic  # noqa: F401
import rich.console
import rich.progress  # noqa: F401
import snakemake.cli
import snakemake.report

SECONDS = 900


def run(folder: str, arguments: list[str], environment: dict[str, str], output: str) -> None:
    """In the child. Ends it with Snakemake's status."""
    signal.alarm(SECONDS)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv = ["snakemake", *arguments]
    snakemake.cli.main()


def main() -> None:
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
