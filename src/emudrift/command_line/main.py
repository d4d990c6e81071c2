"""The console script `emudrift`: reads the command line; each command is a module of its own."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from emudrift.command_line.curation import add_curate
from emudrift.command_line.experiment_commands import add_commands
from emudrift.errors import InputError
from emudrift.runtime import interpreter
from emudrift.runtime.jobs import Stopped
from emudrift.runtime.terminal import fail, show, start_logging


def main(words: Sequence[str] | None = None) -> None:
    arguments = parse(words)
    # What a user is told is progress and warnings; the rest is for those who look for a fault.
    start_logging()
    logging.getLogger().setLevel(logging.INFO if arguments.verbose else logging.WARNING)
    logging.getLogger("emudrift.runtime.progress").setLevel(logging.INFO)
    for noisy in ("httpx", "matplotlib", "fontTools", "transformers", "torch"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        arguments.work(arguments)
    except InputError as error:
        fail(str(error))
    except (KeyboardInterrupt, Stopped):
        print("stopped; what was made is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads a command line; `rest` is what `emudrift run` passes on to Snakemake. Exits where it is wrong."""
    arguments, rest = parser().parse_known_args(words)
    if rest and arguments.command != "run":
        parser().parse_args(words)  # Says which argument is unknown.
    arguments.rest = rest
    return arguments


def program() -> None:
    """The console script."""
    main()
    interpreter.end_quickly()


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    result = argparse.ArgumentParser(prog="emudrift", description=__doc__)
    result.add_argument("--verbose", action="store_true", help="also say what is done in every step")
    commands = result.add_subparsers(title="commands", required=True, metavar="command", dest="command")
    _add_compare(commands)
    add_curate(commands)
    add_commands(commands)
    return result


def _add_compare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "compare",
        help="two or more folders of images of the same prompts: which is farther from real images, and is that certain?",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="+", help="folders, .tar or .zip of images, the baseline first; or name=folder"
    )
    parser.add_argument("--reference", required=True, help="folder, .tar or .zip of real images, of any names")
    parser.add_argument("--captions", help="CSV with the columns file_name and caption")
    parser.add_argument("--extractor", default="inception", help="inception, inception-random (to try out) or dinov2")
    parser.add_argument("--dims", type=int, help="length of a feature vector, such as 192; default: the extractor's")
    parser.add_argument("--weights", help="the published Inception weights, or the folder of a DINOv2 checkpoint")
    parser.add_argument("--download", action="store_true", help="fetch the published Inception weights (91 MB) first")
    parser.add_argument("--margin", type=float, help="a difference that would not matter")
    parser.add_argument(
        "--pair", default="name", choices=["name", "order", "none"], help="what makes images of several folders a pair"
    )
    parser.add_argument("--ladder", action="store_true", help="put the difference into proportion; takes minutes")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where features are extracted")
    parser.add_argument("--output", default="emudrift-comparison", help="folder for all that is made")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(work=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    interpreter.prepare()  # Before torch is imported.
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Threads that wait for each other sleep: where other programs use the cores, features take half the time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from emudrift.command_line.comparison import compare, too_few
    from emudrift.command_line.inception_weights import download_weights
    from emudrift.command_line.views import comparison_view

    found = compare(
        *arguments.folders,
        reference=arguments.reference,
        captions=arguments.captions,
        extractor=arguments.extractor,
        dims=arguments.dims,
        weights=download_weights() if arguments.download else arguments.weights,
        margin=arguments.margin,
        pairing=arguments.pair,
        device=arguments.device,
        ladder=arguments.ladder,
        output=arguments.output,
    )
    if arguments.json:
        print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False))
    else:
        show(*comparison_view(found, too_few(found), Path.cwd()))
