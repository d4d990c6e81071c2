"""What another Snakemake in the same folder is making, by the locks that it holds."""

from collections.abc import Iterable
from pathlib import Path


def made_elsewhere(folder: str | Path, wanted: Iterable[Path]) -> list[str]:
    """Those of the wanted files that another run of Snakemake has locked as its outputs: one that runs, or that was killed.

    Args:
        folder: where Snakemake runs; it keeps its locks in .snakemake/locks, each a list of files.
    """
    folder, locked = Path(folder), set[Path]()
    for lock in sorted(folder.glob(".snakemake/locks/*.output.lock")):
        try:
            locked.update((folder / line).resolve() for line in lock.read_text(encoding="utf-8").splitlines())
        except (FileNotFoundError, PermissionError):
            continue  # It has just ended; or it is somebody else's, which Snakemake itself reports.
    return sorted(str(path) for path in wanted if (folder / path).resolve() in locked)
