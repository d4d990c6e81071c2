"""What the page is built of: sections with figures and tables, which can be sorted and taken along as CSV."""

import base64
import csv
import io
from dataclasses import dataclass, field

import pandas as pd

from emudrift.config.arm import Arm


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it says, in small what belongs to it, the class that styles it, and what it is sorted by.

    `value` is needed only where the text does not begin with the number that counts.
    """

    text: str
    small: str = ""
    style: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of a row is its heading, and a note may stand above it.

    `csv` is what its download holds, where that is more exact than the cells; `file` the download's name.
    """

    title: str
    head: list[str]
    rows: list[list[Cell]]
    csv: str = ""
    file: str = "table.csv"
    note: str = ""

    @property
    def download(self) -> str:
        """The CSV as a data: URI."""
        return data_uri((self.csv or self._texts()).encode(), "text/csv;charset=utf-8")

    def _texts(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.head)
        writer.writerows([" ".join(filter(None, (cell.text, cell.small))) for cell in row] for row in self.rows)
        return text.getvalue()


@dataclass(frozen=True)
class Picture:
    """A figure of the page: a data: URI, what stands in its place for those who cannot see it, and what stands under it.

    `data`: the numbers that are drawn, as a data: URI of a CSV; `file`: the name of that file in figures/.
    """

    source: str
    alt: str
    caption: str
    data: str = ""
    file: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page: its heading, a lead, figures and tables; and above these what a template of its own makes."""

    id: str
    title: str
    lead: str = ""
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    template: str = ""


def data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def csv_of(table: pd.DataFrame) -> str:
    """A part of fid.csv or the like, with the very numbers of that file."""
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def label_of(arm: Arm) -> str:
    """`base, guidance 3`, whose last two words stay on one line."""
    return arm.label.replace("guidance ", "guidance\N{NO-BREAK SPACE}")
