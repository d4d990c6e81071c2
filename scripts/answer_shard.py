"""Answers the questions of one shard of a task's variant with one model that sees; goes on where an earlier attempt stopped."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.generation.answers.run_answers import run_answers


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="of a model that sees: full name, with its fingerprint")
    parser.add_argument("--variant", required=True, help="of a task: full name, with its fingerprint")
    parser.add_argument("--rows", required=True, help="range of question rows, such as 000000-001000")
    parser.add_argument("--batch-size", required=True, type=door.batch_size, help="questions per batch, or auto")
    door.enter(answer, parser.parse_args())


def answer(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    understanding = experiment.understanding
    arm, variant = understanding.arm(arguments.arm), understanding.variant(arguments.variant)
    run_answers(experiment, arm, variant, RowRange.parse(arguments.rows), arguments.batch_size)


if __name__ == "__main__":
    main()
