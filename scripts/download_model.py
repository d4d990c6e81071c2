"""Downloads a model from the Hugging Face hub at a revision, and records the commit that it stands for."""

import argparse
import logging

import door

from emudrift.data.downloads import download_model
from emudrift.runtime.json_files import write_json


def main() -> None:
    parser = door.parser(__doc__, config=False)
    parser.add_argument("--hub", required=True, help="such as BAAI/Emu3-Gen-hf")
    parser.add_argument("--revision", required=True, help="commit, tag or branch")
    parser.add_argument("--folder", required=True, help="where the files go")
    parser.add_argument("--variant", default="none", help="of a pipeline's weights, such as fp16; none: those without")
    parser.add_argument(
        "--code", choices=["yes", "no"], default="no", help="also Python files, which trust_remote_code lets run"
    )
    parser.add_argument("--file", default="all", help="the only file that is needed, such as one of several LoRA files")
    parser.add_argument("--output", required=True, help="JSON to write: hub id, revision and commit")
    door.enter(fetch, parser.parse_args())


def fetch(arguments: argparse.Namespace) -> None:
    variant = None if arguments.variant == "none" else arguments.variant
    file = None if arguments.file == "all" else arguments.file
    commit = download_model(
        arguments.hub, arguments.revision, arguments.folder, [variant], arguments.code == "yes", file
    )
    write_json(arguments.output, {"hub": arguments.hub, "revision": arguments.revision, "commit": commit})
    logging.info("%s at %s is commit %s", arguments.hub, arguments.revision, commit)


if __name__ == "__main__":
    main()
