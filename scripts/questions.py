"""Makes the question table of a task of understanding, with the references of people and the examples."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.data.question_table import check_pictures, question_table, write_question_table


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--task", required=True, help="its name with its key, as in the results: vqa-0123456789ab")
    door.enter(make, parser.parse_args())


def make(arguments: argparse.Namespace) -> None:
    understanding = Experiment.load(arguments.config).understanding
    task = understanding.task(arguments.task)
    table = question_table(understanding, task)
    check_pictures(understanding, task, table)
    write_question_table(understanding, task, table)
    logging.info("%d questions, of which %d are asked", len(table.questions), task.asked)


if __name__ == "__main__":
    main()
