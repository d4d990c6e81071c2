"""Looks the judge over before anything is judged: its files and answers, and that it is no model under test."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.generation.judging.check import write_judge_record


def main() -> None:
    door.enter(check, door.parser(__doc__).parse_args())


def check(arguments: argparse.Namespace) -> None:
    write_judge_record(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
