"""Building blocks of the page: sections with figures and sortable tables that can be downloaded as CSV."""

import base64
import csv
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from markupsafe import Markup

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
    """A figure of the page: its SVG, alternative text, and caption.

    `data`: the plotted numbers, as a data: URI of a CSV; `file`: the name of the figure in figures/; `labels`: lines of the
    figure that the page says once for all figures, and hides.
    """

    svg: bytes
    alt: str
    caption: str
    data: str = ""
    file: str = ""
    labels: Sequence[str] = ()

    @property
    def inline(self) -> Markup:
        return inline_svg(self.svg, self.file, self.alt, self.labels)


@dataclass(frozen=True)
class Section:
    """A section of the page: heading, introduction, then its own template (if any), figures and tables."""

    id: str
    title: str
    lead: str = ""
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    template: str = ""


def inline_svg(svg: bytes, name: str, alt: str, hidden: Sequence[str] = ()) -> Markup:
    """A figure by matplotlib as a part of the page, where its tips (`figures.style.with_tip`) are shown to who points at them.

    Args:
        name: put before all ids, so that those of several figures differ.
        alt: what the figure shows, for who cannot see it.
        hidden: lines of text that get the class `label`.
    """
    text = svg.decode("utf-8")
    size = re.search(r'viewBox="([^"]*)"', text)
    body = text[text.index(">", text.index("<svg")) + 1 : text.rfind("</svg>")] if "</svg>" in text else ""
    body = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="tip: ([^"]*)">', r"<g><title>\1</title>", body)
    body = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", body)
    for line in hidden:
        body = re.sub(rf"(<!-- {re.escape(html.escape(line, quote=False))} -->\s*<g) ", r'\1 class="label" ', body)
    box = f' viewBox="{size[1]}"' if size else ""
    links = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    return Markup(f'<svg role="img" aria-label="{html.escape(alt)}"{box} {links}>{body}</svg>')


def data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def csv_of(table: pd.DataFrame) -> str:
    """Rows of fid.csv or a similar table, formatted exactly as in that file."""
    return table.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def label_of(arm: Arm) -> str:
    """`base, guidance 3`, with a no-break space before the scale."""
    return arm.label.replace("guidance ", "guidance\N{NO-BREAK SPACE}")


def label_in_set(arm: Arm) -> str:
    """The same with the set of prompts, where it has a name: `base, guidance 3, flickr30k`."""
    return f"{label_of(arm)}, {arm.prompt_set}" if arm.prompt_set else label_of(arm)
