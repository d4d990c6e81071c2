"""Downloads a file, checks its sum, and goes on where an earlier attempt stopped."""

import argparse

import door

from emudrift.data.downloads import download, extract_member


def main() -> None:
    parser = door.parser(__doc__, config=False)
    parser.add_argument("--url", required=True)
    parser.add_argument("--sum", required=True, help="checksum to expect, such as sha256:6726825d...")
    parser.add_argument("--member", default="", help="keep only this file of a downloaded zip")
    parser.add_argument("--output", required=True, help="file to write")
    door.enter(fetch, parser.parse_args())


def fetch(arguments: argparse.Namespace) -> None:
    if not arguments.member:
        download(arguments.url, arguments.sum, arguments.output)
        return
    archive = f"{arguments.output}.zip"
    download(arguments.url, arguments.sum, archive)
    extract_member(archive, arguments.member, arguments.output)


if __name__ == "__main__":
    main()
