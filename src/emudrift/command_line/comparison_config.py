"""The experiment that `emudrift compare` makes of folders of images: a project with a config like any other."""

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from emudrift.command_line.image_sets import ImageSet, Pairing, Pairs, find_set, pair, unpacked
from emudrift.command_line.project import write_project
from emudrift.config.experiment import Experiment
from emudrift.data.csv_files import read_csv
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import write_bytes_atomically

NAME = "comparison"
_HEAD = """\
# Written by `emudrift compare`, which replaces it when it runs again with other images or settings.
# An experiment like any other: `snakemake -c 2` in this folder goes on with it; all keys: docs/configuration.md.
"""


@dataclass(frozen=True)
class Settings:
    """What is compared, and how.

    Attributes:
        extractor: an entry of `extractors` of a config.
        seed: of the order of the pairs, whose first N make the smaller sample sizes.
    """

    reference: Path
    captions: Path | None
    extractor: dict[str, Any]
    pairing: Pairing
    device: str
    margin: float | None = None
    ladder: bool = False
    seed: int = 0


def write_comparison(folder: Path, sets: Sequence[ImageSet], settings: Settings) -> Experiment:
    """Makes `folder` a project that compares the sets, the first being the baseline.

    Raises:
        InputError: images do not belong together, captions are missing, or files cannot be written.
    """
    if len(sets) < 2:
        raise InputError("give at least two folders of images, the baseline first: emudrift compare base/ tuned/ …")
    pairs = pair(sets, settings.pairing)
    reference = find_set("reference", settings.reference)
    write_project(folder)
    sources = {each.name: unpacked(each.source, folder / "unpacked") for each in sets}
    # Real images of the same names are those of the same prompts: shown beside the others, and left out together with them.
    own = settings.pairing == "name" and sorted(reference.members) == pairs.names
    captions = pairs_captions(pairs, settings.captions)
    ids = _ids(pairs.names)
    rows = [
        [prompt_id, reference.members[name] if own else name, caption]
        for prompt_id, name, caption in zip(ids, pairs.names, captions, strict=True)
    ]
    _write_csv(folder / "prompts.csv", ["prompt_id", "file_name", "caption"], rows)
    for name, members in pairs.members.items():
        _write_csv(
            folder / "tables" / f"{name}.csv", ["prompt_id", "file_name"], [*map(list, zip(ids, members, strict=True))]
        )
    n = len(ids)
    config: dict[str, Any] = {
        "name": NAME,
        "note": _note(pairs, settings.pairing),
        "seed": settings.seed,
        "prompts": {"source": "table", "captions": "prompts.csv"} | ({"images": str(reference.source)} if own else {}),
        "models": [
            {"name": name, "generator": "folder", "images": str(source), "table": f"tables/{name}.csv"}
            for name, source in sources.items()
        ],
        "baseline": sets[0].name,
        "sample_sizes": sorted({max(n // 4, 10), max(n // 2, 10), n}),
        "extractors": [settings.extractor],
        "ladder": settings.ladder,
        "reference": {"images": "dataset" if own else str(reference.source)},
        "device": settings.device,
        # On a CPU, larger ones spend as long on memory as on arithmetic.
        "resources": {"feature_batch_size": 8 if settings.device == "cpu" else 64},
    } | ({"margin": settings.margin} if settings.margin is not None else {})
    text = _HEAD + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)
    _write_if_other(folder / "config.yaml", text.encode())
    return Experiment.load(folder / "config.yaml")


def pairs_captions(pairs: Pairs, table: Path | None) -> list[str]:
    """The caption of each pair: of the table's row with the name of its images; without a table, that name.

    Raises:
        InputError: the table lacks columns, or images.
    """
    if table is None:
        return [name.replace("_", " ") for name in pairs.names]
    columns, rows = read_csv(table)
    if not {"file_name", "caption"} <= set(columns):
        raise InputError(f"{table}: needs the columns file_name and caption; it has {', '.join(map(repr, columns))}")
    known: dict[str, str] = {}
    for _, row in rows:
        stem = PurePosixPath(row["file_name"]).with_suffix("").as_posix()
        known[stem] = max(known.get(stem, ""), row["caption"], key=len)  # The longest, as of a dataset.
    by_base = {PurePosixPath(stem).name: caption for stem, caption in known.items()}
    found = [known.get(name) or by_base.get(PurePosixPath(name).name, "") for name in pairs.names]
    missing = [name for name, caption in zip(pairs.names, found, strict=True) if not caption.strip()]
    if missing:
        raise InputError(
            f"{table}: no caption for {len(missing):,} of {len(found):,} images; first: {', '.join(missing[:3])}; file_name must "
            "be that of the images, apart from the ending"
        )
    return found


def _ids(names: Sequence[str]) -> list[str]:
    """The names, where all of them can be ids of prompts; else something short that they determine."""
    if all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) for name in names):
        return list(names)
    return [hashlib.sha256(name.encode()).hexdigest()[:16] for name in names]


def _note(pairs: Pairs, how: Pairing) -> str:
    said = [f"{count:,} images of {name}" for name, count in pairs.left_out.items() if count]
    note = [f"Left out, since they have no partner: {', '.join(said)}."] if said else []
    if how == "none":
        note.append("Images of different models do not show the same prompts: they are paired at random.")
    return " ".join(note)


def _write_csv(path: Path, columns: list[str], rows: Sequence[list[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    _write_if_other(path, text.getvalue().encode())


def _write_if_other(path: Path, data: bytes) -> None:
    """Keeps the time of a file that stays the same: what was made of it is not out of date."""
    if not path.is_file() or path.read_bytes() != data:
        write_bytes_atomically(path, data)
