"""Embeds the captions of one shard's prompts with CLIP."""

import argparse
import logging
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.features.registry import load_extractor
from emudrift.features.feature_files import write_array
from emudrift.data.prompts import load_prompts


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--extractor", required=True, help="full name of a clip extractor, with its fingerprint")
    parser.add_argument("--rows", required=True, help="prompt rows, such as 000000-000500")
    parser.add_argument("--prompts", required=True, type=Path, help="prompts.parquet")
    parser.add_argument("--output", required=True, type=Path, help=".npy to write: (rows, dims) float32")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="captions per step")
    door.enter(embed, parser.parse_args())


def embed(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    extractor = load_extractor(experiment, arguments.extractor)
    shard = RowRange.parse(arguments.rows)
    captions = [prompt.caption for prompt in load_prompts(arguments.prompts)[shard.start : shard.stop]]
    write_array(arguments.output, extractor.text_features(captions, arguments.batch_size))
    logging.info("%d captions embedded", len(captions))


if __name__ == "__main__":
    main()
