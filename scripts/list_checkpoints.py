"""Finds the checkpoints that training runs saved on their way, and writes the lists that the config's models name."""

import argparse
import logging

import door

from emudrift.config.adapted_model import AdaptedModel
from emudrift.config.reader import load_config
from emudrift.data.training_runs import write_list
from emudrift.errors import InputError


def main() -> None:
    door.enter(write, door.parser(__doc__).parse_args())


def write(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.config, expand=False)
    runs = [each for each in config.models if isinstance(each, AdaptedModel) and each.checkpoints is not None]
    if not runs:
        raise InputError(f"{arguments.config}: models: none has checkpoints: {{path: ..., list: ...}}")
    for model in runs:
        assert model.checkpoints is not None
        try:
            path, n = write_list(model.checkpoints, arguments.config)
        except InputError as error:
            raise InputError(f"{arguments.config}: models: {model.name}: {error}") from error
        logging.info("%s: %d checkpoints, listed in %s", model.name, n, path)


if __name__ == "__main__":
    main()
