"""Sets what models see against what they draw: every strength of an adapter with its share of gain and cost."""

import argparse

import door

from emudrift.config.experiment import Experiment
from emudrift.evaluation.exchange.files import write_exchange_table


def main() -> None:
    door.enter(write_exchange, door.parser(__doc__).parse_args())


def write_exchange(arguments: argparse.Namespace) -> None:
    write_exchange_table(Experiment.load(arguments.config))


if __name__ == "__main__":
    main()
