"""Embeds the captions of a range of prompts with CLIP."""

import argparse
import logging

import door

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.data.prompts import load_prompts
from emudrift.features.feature_files import write_array
from emudrift.features.registry import load_extractor


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name of a clip extractor; in a further set: name@set")
    parser.add_argument("--rows", required=True, help="prompt rows, such as 000000-005000")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="captions per step")
    door.enter(embed, parser.parse_args())


def embed(arguments: argparse.Namespace) -> None:
    experiment, name = Experiment.load(arguments.config).in_set(arguments.extractor)
    paths, rows = experiment.paths, RowRange.parse(arguments.rows)
    extractor = load_extractor(experiment, name)
    captions = [prompt.caption for prompt in load_prompts(paths.prompts)[rows.start : rows.stop]]
    embedded = extractor.text_features(captions, arguments.batch_size)
    write_array(paths.captions(arguments.extractor, rows.name), embedded)
    logging.info("%d captions embedded", len(captions))


if __name__ == "__main__":
    main()
