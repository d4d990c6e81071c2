"""Scores captions of any program by CIDEr-D, with their interval. Needs no experiment, and no Java."""

import argparse
import json
from pathlib import Path

import door

from emudrift.config.understanding import CaptionTask
from emudrift.evaluation.understanding.files import scored_elsewhere
from emudrift.runtime.atomic_files import write_bytes_atomically


def main() -> None:
    parser = door.parser(__doc__, config=False)
    parser.add_argument("--references", required=True, type=Path, help="captions of people: COCO, NoCaps or Karpathy")
    parser.add_argument("--splits", nargs="+", default=[], help="splits of Karpathy's file, such as test")
    parser.add_argument("--answers", required=True, type=Path, help="JSON lines with image_id and answer, or others")
    parser.add_argument("--baseline", type=Path, help="captions of another model: adds the paired difference from it")
    parser.add_argument("--output", required=True, type=Path, help="JSON with the result")
    door.enter(score, parser.parse_args())


def score(arguments: argparse.Namespace) -> None:
    task = CaptionTask(
        name="captions",
        task="caption",
        images="-",
        captions=str(arguments.references),
        source="karpathy" if arguments.splits else "coco",
        splits=arguments.splits,
    )
    found = scored_elsewhere(task, {"captions": [arguments.references]}, arguments.answers, arguments.baseline)
    write_bytes_atomically(arguments.output, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
