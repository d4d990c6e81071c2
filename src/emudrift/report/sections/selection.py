"""What the conditions on prompts and reference images (`where`) removed: a sentence of the methods, and tables."""

from collections.abc import Iterator, Mapping

from emudrift.config.annotations import COLUMNS, Condition, condition_words, where_words
from emudrift.config.experiment import Experiment
from emudrift.data.selection import Selection
from emudrift.report.elements.blocks import Cell, Table

NOTE = (
    "In the order of the config: how many do not meet a condition, whatever the others say; how many of those that meet all "
    "conditions before it, it removes; and how many are left then."
)


def selection_methods(experiment: Experiment, selections: Mapping[str, Selection]) -> str:
    """The sentences about `where`; "" where nothing is restricted.

    Args:
        selections: how many each condition removed, by key.
    """
    said, named = [], dict[str, None]()
    for where_from, what, where, key in _conditions(experiment):
        found = selections[key]
        of = f"Of the {found.total:,} {what}{where_from}, the {found.left:,} were used that meet these conditions: "
        said.append(f"{of}{where_words(where)}.")
        named |= dict.fromkeys(where)
    meanings = [f"{name} is the {COLUMNS[name].words}" for name in named if name in COLUMNS and name not in _PLAIN]
    if "clip_similarity" in named:
        clip = next(each for each in experiment.config.extractors if each.name == "clip")
        meanings = [
            each + f" ({clip.weights_label(experiment)})" * each.startswith("clip_similarity") for each in meanings
        ]
    return " ".join([*said, *([f"{'; '.join(meanings)}."] if meanings else [])])


_PLAIN = ("width", "height", "people")
"""Columns whose names say what they are."""


def selection_tables(experiment: Experiment, selections: Mapping[str, Selection]) -> list[Table]:
    """A table for each list of prompts or images that is restricted."""
    tables = []
    for where_from, what, where, key in _conditions(experiment):
        found, rows = selections[key], []
        left = found.total
        for (column, condition), removed in zip(where.items(), found.conditions, strict=True):
            left -= removed.removed
            empty = f"{removed.without_value:,} without a value" if removed.without_value else ""
            rows.append(
                [
                    Cell(condition_words(column, condition)),
                    Cell(f"{removed.failed:,}", empty),
                    Cell(f"{removed.removed:,}"),
                    Cell(f"{left:,}"),
                ]
            )
        title = f"What conditions removed of {found.total:,} {what}{where_from}"
        tables.append(Table(title, ["condition", "do not meet it", "removed", "left"], rows, note=NOTE))
    return tables


def _conditions(experiment: Experiment) -> Iterator[tuple[str, str, Mapping[str, Condition], str]]:
    """Of which set (in words), what, by which conditions, and their key."""
    for name, view in experiment.sets.items():
        config = view.config
        for what, where in (("prompts", config.prompts.where), ("images of the reference", config.reference.where)):
            if where:
                yield f" of {name}" if name else "", what, where, view.annotations.selection_key(where)
