"""Makes the gallery's thumbnails of a range of prompts: one strip per prompt, and their index."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.report.gallery.row_blocks import block_named
from emudrift.report.gallery_and_page import write_gallery_block


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument(
        "--rows",
        required=True,
        help="range of prompt rows, such as 000000-001000; with the set of prompts: flickr30k/000000-001000",
    )
    door.enter(make, parser.parse_args())


def make(arguments: argparse.Namespace) -> None:
    write_gallery_block(*block_named(Experiment.load(arguments.config), arguments.rows))


if __name__ == "__main__":
    main()
