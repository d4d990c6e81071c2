"""Tables of the page."""

from dataclasses import dataclass

from emudrift.experiment import Arm


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it says, in small what belongs to it, and the class that styles it."""

    text: str
    small: str = ""
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of a row is its heading, and a note may stand above it."""

    title: str
    head: list[str]
    rows: list[list[Cell]]
    note: str = ""


def label_of(arm: Arm) -> str:
    """`base, guidance 3`, whose last two words stay on one line."""
    return arm.label.replace("guidance ", "guidance\N{NO-BREAK SPACE}")
