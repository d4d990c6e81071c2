"""Checks the raters' files against the key, combines them, and reports win rates."""

import argparse
import logging
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.human.columns import HumanTables
from emudrift.evaluation.human.ranking import ranking_tables
from emudrift.evaluation.human.study import load_key
from emudrift.evaluation.human.votes import load_votes, rater_table, scan_votes, vote_table
from emudrift.evaluation.human.win_rates import rate_table
from emudrift.evaluation.tables import write_table
from emudrift.report.sections.human_votes import human_statements


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument(
        "--votes", type=Path, help="folder with the files of the raters, where it is not human_evaluation/votes"
    )
    door.enter(import_votes, parser.parse_args())


def import_votes(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    config, paths = experiment.config, experiment.paths
    key = load_key(paths.rating_key)
    files = load_votes(scan_votes(arguments.votes or paths.votes), key)
    votes = vote_table(files, key)
    raters = rater_table(votes, files, key, config.human_evaluation.exclude_failed)
    of_study = (votes, raters, key, config.note, config.human_evaluation.min_votes)
    tables = HumanTables(rate_table(*of_study), raters, *ranking_tables(*of_study))
    write_table(votes, paths.vote_table)
    for table, path in tables.with_paths(paths):
        write_table(table, path)
    for statement in human_statements(tables):
        logging.info("%s", statement)


if __name__ == "__main__":
    main()
