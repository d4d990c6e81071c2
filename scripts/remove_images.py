"""Removes the images of an arm, or of one of its shards, so that the next run generates them again."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.generation.remove_images import remove_images


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument(
        "--arm", required=True, help="its name in results/<name>/images, with or without the fingerprint"
    )
    parser.add_argument("--rows", help="one shard, such as 000000-000500; default: all")
    door.enter(remove, parser.parse_args())


def remove(arguments: argparse.Namespace) -> None:
    removed = remove_images(Experiment.load(arguments.config), arguments.arm, arguments.rows)
    print(f"removed {len(removed)} shards of {arguments.arm}: {', '.join(removed) or 'none was there'}")


if __name__ == "__main__":
    main()
