"""Checks the raters' files against the key, brings them together, and says who won."""

import argparse
import logging
from pathlib import Path

import door

from emudrift.evaluation.tables import write_table
from emudrift.config.experiment import Experiment
from emudrift.evaluation.human.win_rates import rate_table
from emudrift.evaluation.human.study import load_key
from emudrift.evaluation.human.votes import load_votes, rater_table, scan_votes, vote_table
from emudrift.report.sections.human_votes import human_statements


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--key", required=True, type=Path, help="key.json")
    parser.add_argument("--votes", required=True, type=Path, help="folder with the files of the raters")
    parser.add_argument(
        "--output", required=True, type=Path, help="folder of votes.csv, raters.csv, human_evaluation.csv"
    )
    door.enter(import_votes, parser.parse_args())


def import_votes(arguments: argparse.Namespace) -> None:
    config = Experiment.load(arguments.config).config
    key = load_key(arguments.key)
    files = load_votes(scan_votes(arguments.votes), key)
    votes = vote_table(files, key)
    raters = rater_table(votes, files, key, config.human_evaluation.exclude_failed)
    rates = rate_table(votes, raters, key, config.note)
    write_table(votes, arguments.output / "votes.csv")
    write_table(raters, arguments.output / "raters.csv")
    write_table(rates, arguments.output / "human_evaluation.csv")
    for statement in human_statements(rates, raters):
        logging.info("%s", statement)


if __name__ == "__main__":
    main()
