"""Writes the JSON schema of the config, with which editors complete and check its keys."""

import argparse
import json
from pathlib import Path

import door

from emudrift.config import Config
from emudrift.files import write_bytes_atomically

SCHEMA = Path(__file__).resolve().parents[1] / "schemas" / "config.schema.json"


def main() -> None:
    parser = door.parser(__doc__, config=False)
    parser.add_argument("--output", type=Path, default=SCHEMA)
    door.enter(write, parser.parse_args())


def write(arguments: argparse.Namespace) -> None:
    text = json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
    write_bytes_atomically(arguments.output, text.encode())


if __name__ == "__main__":
    main()
