"""Writes what follows from the registries and settings: the JSON schema, docs/configuration.md, the table of docs/metrics.md."""

import argparse
import json
from pathlib import Path

import door

from emudrift.config.experiment_config import Config
from emudrift.config.reference_page import configuration_page, with_metrics
from emudrift.runtime.atomic_files import write_bytes_atomically

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = door.parser(__doc__, config=False)
    parser.add_argument("--output", type=Path, default=ROOT / "schemas" / "config.schema.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "configuration.md")
    parser.add_argument(
        "--metrics", type=Path, default=ROOT / "docs" / "metrics.md", help="page whose table is renewed"
    )
    door.enter(write, parser.parse_args())


def write(arguments: argparse.Namespace) -> None:
    schema = Config.model_json_schema()
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    write_bytes_atomically(arguments.output, text.encode())
    write_bytes_atomically(arguments.page, configuration_page(schema).encode())
    write_bytes_atomically(arguments.metrics, with_metrics(arguments.metrics.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
