"""Building blocks of the page: sections with figures and sortable tables that can be downloaded as CSV."""

import base64
import csv
import io
from dataclasses import dataclass, field

import pandas as pd

from emudrift.config.arm import Arm


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, smaller text below it, its CSS class, and its sort key.

    `value` is needed only where the text does not begin with the number to sort by.
    """

    text: str
    small: str = ""
    style: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of each row is its heading, and an optional note precedes the table.

    `csv` is the content of the download if it should be more precise than the cells; `file` is the download's name.
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
    """A figure of the page: a data: URI, its alternative text, and its caption.

    `data`: the plotted numbers, as a data: URI of a CSV; `file`: the name of the figure in figures/.
    """

    source: str
    alt: str
    caption: str
    data: str = ""
    file: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page: heading, introduction, then its own template (if any), figures and tables."""

    id: str
    title: str
    lead: str = ""
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    template: str = ""


def data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def csv_of(table: pd.DataFrame) -> str:
    """Rows of fid.csv or a similar table, formatted exactly as in that file."""
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def label_of(arm: Arm) -> str:
    """`base, guidance 3`, with a no-break space before the scale."""
    return arm.label.replace("guidance ", "guidance\N{NO-BREAK SPACE}")
