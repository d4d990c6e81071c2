"""What every script shares: the package on the path, logging to terminal and file, and errors of one line."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

# The scripts run from a clone as it is, in whatever environment a rule gives them.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from emudrift.errors import InputError
from emudrift.runtime import interpreter
from emudrift.runtime.jobs import Stopped
from emudrift.runtime.terminal import start_logging

interpreter.prepare()


def parser(description: str | None, config: bool = True) -> argparse.ArgumentParser:
    """An argument parser with the options that all scripts have."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    if config:
        given = os.environ.get("EMUDRIFT_CONFIG")
        result.add_argument(
            "--config",
            type=Path,
            default=given,
            required=given is None,
            help="the experiment's config file; the workflow sets the environment variable EMUDRIFT_CONFIG",
        )
    result.add_argument("--log", type=Path, help="also write progress and errors to this file")
    return result


def add_prompt_set(arguments: argparse.ArgumentParser) -> None:
    """The option of scripts that make something of one set of prompts."""
    arguments.add_argument("--prompt-set", default="", help="name of a further set of prompts; default: the main one")


def positive(text: str) -> int:
    """The type of arguments that count something."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def batch_size(text: str) -> int | None:
    """The type of batch sizes: a number, or auto (None)."""
    return None if text == "auto" else positive(text)


def enter(work: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> None:
    """Runs a script's work; what a user got wrong ends it with one message and status 1."""
    start_logging(arguments.log)
    for noisy in ("httpx", "matplotlib", "fontTools", "transformers", "torch"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Nothing but the download scripts may reach for the network: compute nodes have none.
    if not Path(sys.argv[0]).name.startswith("download"):
        os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        work(arguments)
    except InputError as error:
        for line in str(error).splitlines():
            logging.error("error: %s", line)
        sys.exit(1)
    except Stopped as reason:
        logging.error("stopped (%s); what was made is kept, and the next run goes on from there", reason)
        sys.exit(143)
    # Not where the script's functions are called by another program, such as a test.
    if Path(getattr(sys.modules["__main__"], "__file__", "")).resolve().parent == Path(__file__).resolve().parent:
        interpreter.end_quickly()
