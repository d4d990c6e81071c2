"""What `emudrift compare` prints."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from emudrift.command_line.comparison import Comparison
from emudrift.config.extractors import distance_name
from emudrift.config.paths import shortened
from emudrift.evaluation.tables import rows_of
from emudrift.report.elements.wording import decimals, interval_text, number, p_text
from emudrift.runtime.terminal import table


def comparison_view(found: Comparison, too_few: str, folder: Path) -> Sequence[RenderableType]:
    """The answer, one row for each set of images, what cannot be claimed, the caveats in one line, and where the page is.

    Args:
        too_few: as `comparison.too_few`.
        folder: that paths are relative to.
    """
    view: list[RenderableType] = [Text(found.verdict.lead, style="bold")]
    view += [Text(said, style="bold") for said in found.verdict.sizes]
    view += ["", table(_rows(found)), ""]
    if too_few:
        view += [Text(too_few, style="yellow"), ""]
    results = found.report.parent
    count = len(found.verdict.caveats)
    if count:
        view += [Text(f"{count} caveat{'s' if count > 1 else ''}: at the top of the report")]
    view += [f"report: {shortened(found.report, folder)}"]
    names = ("comparison.csv", "fid.csv", "comparison.json")
    view += [f"tables: {', '.join(str(shortened(results / name, folder)) for name in names)}"]
    return view


def _rows(found: Comparison) -> list[dict[str, str]]:
    largest = found.differences["n"].max() if len(found.differences) else found.fids["n"].max()
    differences = {
        (row.arm, row.extractor): row for row in rows_of(found.differences[found.differences["n"] == largest])
    }
    rows = []
    for fid in rows_of(found.fids[found.fids["n"] == largest]):
        places = decimals(fid.high - fid.low, fid.fid_jackknife)
        row = {
            "images": fid.model,
            "N": f"{fid.n:,}",
            distance_name(fid.extractor): number(fid.fid, places),
            "corrected": number(fid.fid_jackknife, places),
        }
        difference = differences.get((fid.arm, fid.extractor))
        if difference is None:
            row |= {"difference": "–", "interval": "", "p": "", "finding": "baseline"}
        else:
            estimate, interval = interval_text(difference)
            row |= {
                "difference": estimate,
                "interval": interval,
                "p": p_text(difference.p).removeprefix("= "),
                "finding": difference.finding,
            }
        rows.append(row)
    return rows
