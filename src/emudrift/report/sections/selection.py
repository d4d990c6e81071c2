"""What the conditions on prompts and reference images (`where`) removed: a sentence of the methods, and tables."""

from collections.abc import Iterator, Mapping

from emudrift.config.annotations import COLUMNS, Condition, condition_words, where_words
from emudrift.config.experiment import Experiment
from emudrift.data.selection import Selection
from emudrift.report.elements.blocks import Cell, Table
from emudrift.report.elements.wording import listing

PROMPTS, REFERENCE = "prompts", "images of the reference"
NOTE = (
    "In the order of the config: how many do not meet a condition, whatever the others say; how many of those that meet all "
    "conditions before it, it removes; and how many are left then."
)


def selection_methods(experiment: Experiment, selections: Mapping[str, Selection]) -> str:
    """The sentences about `where`; "" where nothing is restricted.

    Args:
        selections: how many each condition removed, by key.
    """
    said, named, read = [], dict[str, None](), dict[str, None]()
    for of_set, what, where, key in _conditions(experiment):
        found = selections[key]
        taken = "Prompts were taken from" if what == PROMPTS else "The reference consists of"
        those = f"the {found.left:,} of {found.total:,} photographs{of_set}"
        said.append(f"{taken} {those} that meet these conditions: {where_words(where)}.")
        named |= dict.fromkeys(where)
        read |= dict.fromkeys(f"{package} {version}" for package, version in found.made_with.items())
    meanings = []
    for name in named:
        if name in COLUMNS and name not in _PLAIN:
            meanings.append(f"{name} is the {COLUMNS[name].words}")
        if name == "clip_similarity":
            clip = next(each for each in experiment.config.extractors if each.name == "clip")
            meanings[-1] += f" ({clip.weights_label(experiment)})"
        if name == "text_area" and read:
            meanings[-1] += f" (as read by {listing(read)})"
    return " ".join([*said, *([f"{'; '.join(meanings)}."] if meanings else [])])


_PLAIN = ("width", "height", "people")
"""Columns whose names say what they are."""


def selection_tables(experiment: Experiment, selections: Mapping[str, Selection]) -> list[Table]:
    """A table for each list of prompts or images that is restricted."""
    tables = []
    for of_set, what, where, key in _conditions(experiment):
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
        title = f"What conditions removed of {found.total:,} {what}{of_set}"
        tables.append(Table(title, ["condition", "do not meet it", "removed", "left"], rows, note=NOTE))
    return tables


def _conditions(experiment: Experiment) -> Iterator[tuple[str, str, Mapping[str, Condition], str]]:
    """Of which set (in words), what, by which conditions, and their key."""
    for name, view in experiment.sets.items():
        config = view.config
        for what, where in ((PROMPTS, config.prompts.where), (REFERENCE, config.reference.where)):
            if where:
                yield f" of {name}" if name else "", what, where, view.annotations.selection_key(where)
