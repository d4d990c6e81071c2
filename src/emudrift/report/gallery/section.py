"""The page's gallery section: data per prompt, which images count as failures, and the embedded first page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from emudrift.config.experiment import Experiment
from emudrift.errors import InputError
from emudrift.report.elements.blocks import data_uri, label_of
from emudrift.report.elements.wording import extractor_label
from emudrift.report.gallery.grid_rows import matrix_of, side_by_side
from emudrift.report.gallery.row_blocks import MOST_PROMPTS
from emudrift.report.gallery.strips import Block, cells_of

PAGE = 12
# Prompts of the first look, at the top of the page.
LOOK = 4
# Standard deviation of pixel values (0 to 255). Photographs have about 60; images below this are a uniform surface.
ONE_COLOUR = 5.0
LOW_SHARE = 0.01
LONGEST_CAPTION = 500
ONE_COLOUR_FLAG, LOW_FLAG = 1, 2
FLAGS = {ONE_COLOUR_FLAG: "one colour", LOW_FLAG: "low CLIPScore"}


@dataclass(frozen=True)
class Entry:
    """A prompt as passed to the script. `file`: its strip; `scores`, `flags`: one per arm; no scores without CLIP."""

    row: int
    id: str
    caption: str
    file: str
    apart: float | None
    scores: list[float]
    flags: list[int]


@dataclass(frozen=True)
class Tile:
    """An image of the first page: its data: URI, the arm's label, its CLIPScore (if any), its failure flags and its place."""

    source: str
    label: str
    score: str
    flags: list[str]
    area: str


@dataclass(frozen=True)
class Card:
    """A prompt of the first page."""

    row: int
    id: str
    caption: str
    facts: str
    tiles: list[Tile]


@dataclass(frozen=True)
class Gallery:
    """Input of the template and its script. `data` becomes JSON; `cards` is the first page, also shown without JavaScript.

    `look`: the first prompts, a random sample, for the top of the page; `failed`: number of images per failure flag;
    `definitions`: of everything that is counted or used for sorting.
    """

    data: dict[str, Any]
    cards: list[Card]
    total: int
    failed: dict[str, int]
    definitions: list[tuple[str, str]]
    sample: bool
    look: list[Card] = field(default_factory=list)


def build_gallery(
    experiment: Experiment, blocks: Sequence[Block], folder: Path, scores: Mapping[str, np.ndarray] | None = None
) -> Gallery:
    """Builds the gallery of all prompts in `blocks`; strips of the first page are read from `folder`.

    Args:
        scores: CLIPScores by arm, in row order, if they were computed.

    Raises:
        InputError: a block was built for other arms, or a strip of the first page is missing.
    """
    arms = side_by_side(experiment.arms())
    names = [arm.name for arm in arms]
    for block in blocks:
        if block.arms != names:
            raise InputError(f"{folder / block.rows}.json: was built for other arms; remove it and run again")
    drawn = [experiment.model(arm.model).generates for arm in arms]
    real = experiment.config.prompts.images is not None
    threshold = (
        _low_threshold([scores[name] for name, ours in zip(names, drawn, strict=True) if ours]) if scores else None
    )
    entries = []
    n = max(experiment.config.sample_sizes)
    for block in blocks:
        # The last shard may contain more rows than the largest N.
        for shown in (each for each in block.prompts if each.row < n):
            each = [float(scores[name][shown.row]) for name in names] if scores else []
            low = [threshold is not None and score <= threshold for score in each] or [False] * len(arms)
            flags = [
                ours * (ONE_COLOUR_FLAG * (spread < ONE_COLOUR) | LOW_FLAG * is_low)
                for ours, spread, is_low in zip(drawn, shown.spread, low, strict=True)
            ]
            apart, rounded = shown.disagreement, [round(score, 1) for score in each]
            caption, file = _cut(shown.caption), block.strip(shown.row)
            entries.append(Entry(shown.row, shown.prompt_id, caption, file, apart, rounded, flags))
    ordered = sorted(entries, key=_failures_first)
    labels = (["real image"] if real else []) + [label_of(arm) for arm in arms]
    across, places = matrix_of(arms)
    areas = (["1 / 1"] if real else []) + [f"{row} / {column + real}" for row, column in places]
    data = {
        "labels": labels,
        "areas": areas,
        "across": across + real,
        "full": max((block.full for block in blocks), default=0),
        "columns": len(arms) + 1,
        "folder": f"{folder.parent.name}/{folder.name}" if experiment.config.further else folder.name,
        "pageSize": PAGE,
        "flagNames": FLAGS,
        # Lists instead of objects: repeated keys of 10,000 prompts would make up a third of the page.
        "keys": [each.name for each in fields(Entry)],
        "prompts": [list(vars(entry).values()) for entry in entries],
    }
    return Gallery(
        data=data,
        cards=[_card(entry, labels, areas, len(arms) + 1, folder) for entry in ordered[:PAGE]],
        look=[_card(entry, labels, areas, len(arms) + 1, folder) for entry in entries[:LOOK]],
        total=len(entries),
        failed={
            name: sum(bool(flag & bit) for entry in entries for flag in entry.flags) for bit, name in FLAGS.items()
        },
        definitions=_definitions(blocks[0].extractor if blocks else "", threshold, sum(drawn) > 1),
        sample=max(experiment.config.sample_sizes) > MOST_PROMPTS,
    )


def _low_threshold(scores: Sequence[np.ndarray]) -> float:
    return float(np.quantile(np.concatenate(scores), LOW_SHARE))


def _failures_first(entry: Entry) -> tuple[int, int, int]:
    """Sort key: most single-colour images, then most low scores, then row. gallery.js sorts in the same way."""
    one_colour, low = (sum(bool(flag & bit) for flag in entry.flags) for bit in FLAGS)
    return -one_colour, -low, entry.row


def _cut(caption: str) -> str:
    text = " ".join(caption.split())
    return text if len(text) <= LONGEST_CAPTION else f"{text[: LONGEST_CAPTION - 1]}…"


def _card(entry: Entry, labels: Sequence[str], areas: Sequence[str], columns: int, folder: Path) -> Card:
    path = folder / entry.file
    try:
        strip = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}; remove {path.parent} and run again"
        ) from error
    sources = [data_uri(cell, "image/webp") for cell in cells_of(strip, columns)][columns - len(labels) :]
    # The real image has neither scores nor flags.
    real = len(labels) - len(entry.flags)
    scores = [""] * real + ([f"CLIPScore {score:.1f}" for score in entry.scores] or [""] * len(entry.flags))
    flags = [0] * real + entry.flags
    tiles = [
        Tile(source, label, score, [name for bit, name in FLAGS.items() if flag & bit], area)
        for source, label, score, flag, area in zip(sources, labels, scores, flags, areas, strict=True)
    ]
    # Same text as in gallery.js.
    apart = "" if entry.apart is None else f"disagreement {entry.apart:.3g} · "
    return Card(entry.row, entry.id, entry.caption, f"{apart}row {entry.row}, prompt {entry.id}", tiles)


def _definitions(extractor: str, threshold: float | None, several: bool) -> list[tuple[str, str]]:
    found = [
        (
            FLAGS[ONE_COLOUR_FLAG],
            f"the standard deviation of pixel values, averaged over channels, is below {ONE_COLOUR:g} (of 255), as for the "
            "uniform output of a failed decoder or an image blanked by a safety checker",
        )
    ]
    if threshold is not None:
        found += [
            (FLAGS[LOW_FLAG], f"in the lowest {LOW_SHARE:.0%} over the images of all arms (at most {threshold:.1f})"),
            ("CLIPScore", "100 · max(cos, 0) of CLIP's image and caption embeddings; higher is better"),
        ]
    if several:
        found.append(
            (
                "disagreement",
                f"Euclidean distance between {extractor_label(extractor, [extractor])} features of the arms' images of the same "
                "prompt, averaged over all pairs of arms; tokenizer floors are excluded. The scale depends on the extractor",
            )
        )
    return found
