"""Draws the images of one shard of one arm and packs them; goes on where an earlier attempt stopped."""

import argparse
import logging
import platform
from importlib.metadata import version
from pathlib import Path

import door

from emudrift.errors import InputError
from emudrift.experiment import Experiment, Shard
from emudrift.generators import Generator, fixes_batch, is_unchanged, load_generator
from emudrift.progress import Progress
from emudrift.prompts import load_prompts
from emudrift.shards import Identity, PartialShard, draw_shard, fixed_batch_size, write_archive, write_manifest

PACKAGES = ("torch", "transformers", "peft", "numpy", "pillow")


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--rows", required=True, help="range of prompt rows, such as 000000-000500")
    parser.add_argument("--prompts", required=True, help="prompts.parquet")
    parser.add_argument("--model", required=True, type=Path, help="what check_model wrote for the arm's model")
    parser.add_argument("--archive", required=True, type=Path, help="tar to write")
    parser.add_argument("--manifest", required=True, type=Path, help="JSON to write")
    parser.add_argument("--batch-size", required=True, type=door.positive, help="images drawn together")
    door.enter(generate, parser.parse_args())


def generate(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    arm, shard = experiment.arm(arguments.arm), Shard.parse(arguments.rows)
    model = door.load_json(arguments.model)
    table = load_prompts(arguments.prompts)
    prompts = table[shard.start : shard.stop]
    if not prompts:
        raise InputError(
            f"{arguments.prompts}: has no row {shard.start:,}; sample_sizes ask for more images than prompts"
        )

    def load() -> Generator:
        if not is_unchanged(experiment, model, table):
            raise InputError(
                f"models: {arm.model}: its files are not those that check_model looked at. If that is meant, remove "
                f"{arguments.model} and run again: all images of this model are then drawn anew"
            )
        return load_generator(experiment, arm, batch_size, [prompt.caption for prompt in table])

    batch_size = arguments.batch_size
    if fixes_batch(arm):
        batch_size = fixed_batch_size(arguments.archive.parent / "batch.json", batch_size)
    folder = arguments.archive.parent / ".partial" / shard.name
    partial = PartialShard(folder, Identity(arm.fingerprint, model["digest"]), None)
    attempts = partial.count_attempt()
    with Progress(f"{arm.name} {shard.name}", len(prompts), "image") as progress:
        generator = draw_shard(
            prompts,
            partial,
            load,
            batch_size,
            started=progress.skip,
            progress=progress.update,
        )
        seconds, rate = progress.seconds(), progress.rate()
    sums = write_archive(arguments.archive, prompts, partial)
    write_manifest(
        arguments.manifest,
        {
            "arm": arm.name,
            "rows": [shard.start, shard.start + len(prompts)],
            "n_images": len(prompts),
            "fingerprint": arm.fingerprint,
            "settings": arm.settings,
            "model_digest": model["digest"],
            "revisions": model["revisions"],
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "device": "none (all images were there)" if generator is None else generator.device(),
            "batch_size": batch_size,
            "attempts": attempts,
            "seconds": round(seconds, 2),
            "images_per_hour": round(rate * 3600, 1),
            "sha256": sums,
        },
    )
    partial.remove()
    logging.info("%s %s: %d images packed", arm.name, shard.name, len(prompts))


if __name__ == "__main__":
    main()
