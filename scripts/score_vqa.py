"""Scores answers of any program by the official VQA accuracy, with its interval. Needs no experiment."""

import argparse
import json
from pathlib import Path

import door

from emudrift.config.understanding import VqaTask
from emudrift.evaluation.understanding.files import scored_elsewhere
from emudrift.runtime.atomic_files import write_bytes_atomically


def main() -> None:
    parser = door.parser(__doc__, config=False)
    parser.add_argument("--questions", required=True, type=Path, help="of VQA v2 or OK-VQA, or the list of VizWiz")
    parser.add_argument("--annotations", type=Path, help="answers of people; none with the list of VizWiz")
    parser.add_argument("--answers", required=True, type=Path, help="JSON lines with question_id and answer, or others")
    parser.add_argument("--baseline", type=Path, help="answers of another model: adds the paired difference from it")
    parser.add_argument("--output", required=True, type=Path, help="JSON with the result")
    door.enter(score, parser.parse_args())


def score(arguments: argparse.Namespace) -> None:
    annotations = [] if arguments.annotations is None else [arguments.annotations]
    task = VqaTask(name="vqa", task="vqa", images="-", questions=str(arguments.questions))
    files = {"questions": [arguments.questions], "annotations": annotations}
    found = scored_elsewhere(task, files, arguments.answers, arguments.baseline)
    write_bytes_atomically(arguments.output, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
