"""Fits FID = FID_inf + slope / N to published curves of FID against N, for each model and guidance scale.

Only per-N values are needed: a CSV with the columns model, guidance_scale, n_images and fid. The result has no interval, and
none can be had from such a table; what can be concluded is printed on stderr. Needs no experiment.
"""

import argparse
import sys
from pathlib import Path

import door

from emudrift.report.figures.published_curves import (
    CONCLUSIONS,
    about_differences,
    curves_csv,
    curves_text,
    draw_curves,
    fit_curves,
    load_curves,
)


def main() -> None:
    parser = door.parser(__doc__, config=False)
    parser.add_argument("file", type=Path, help="CSV with the columns model, guidance_scale, n_images, fid")
    parser.add_argument("--min-n", type=door.positive, default=5000, help="fit the points from this N on")
    parser.add_argument("--format", choices=["csv", "table"], default="table", help="what to print on stdout")
    parser.add_argument(
        "--figure", type=Path, help="also plot the curves and the fitted lines: a path ending in .svg, .pdf or .png"
    )
    door.enter(fit, parser.parse_args())


def fit(arguments: argparse.Namespace) -> None:
    curves = fit_curves(load_curves(arguments.file), arguments.min_n)
    if arguments.figure is not None:
        draw_curves(curves, arguments.figure, arguments.min_n)
    if arguments.format == "table":
        print(curves_text(curves, arguments.min_n))
    else:
        sys.stdout.write(curves_csv(curves))
        print(*about_differences(curves), *CONCLUSIONS, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
