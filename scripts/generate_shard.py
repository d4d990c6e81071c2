"""Draws the images of one shard of one arm and packs them; goes on where an earlier attempt stopped."""

import argparse
import logging
import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import door

from emudrift.errors import InputError
from emudrift.experiment import Experiment, Shard
from emudrift.drawing import draw_shard
from emudrift.generators import Generator, TokenGenerator, fixes_batch, is_unchanged, load_generator
from emudrift.progress import Progress
from emudrift.prompts import load_prompts
from emudrift.shards import Identity, PartialShard, chosen_batching, fixed_batching, write_archive, write_manifest

PACKAGES = ("torch", "transformers", "peft", "numpy", "pillow")


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--arm", required=True, help="full name, with its fingerprint")
    parser.add_argument("--rows", required=True, help="range of prompt rows, such as 000000-000500")
    parser.add_argument("--prompts", required=True, help="prompts.parquet")
    parser.add_argument("--model", required=True, type=Path, help="what check_model wrote for the arm's model")
    parser.add_argument("--archive", required=True, type=Path, help="tar to write")
    parser.add_argument("--manifest", required=True, type=Path, help="JSON to write")
    parser.add_argument("--batch-size", required=True, type=batch_size, help="images drawn together, or auto")
    door.enter(generate, parser.parse_args())


def batch_size(text: str) -> int | None:
    return None if text == "auto" else door.positive(text)


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

    def load() -> Generator | TokenGenerator:
        if not is_unchanged(experiment, model, table):
            raise InputError(
                f"models: {arm.model}: its files are not those that check_model looked at. If that is meant, remove "
                f"{arguments.model} and run again: all images of this model are then drawn anew"
            )
        generator = load_generator(experiment, arm)
        if isinstance(generator, TokenGenerator):
            captions = [prompt.caption for prompt in table]
            batching = generator.plan(captions, experiment.config.shard_size, arguments.batch_size)
            if fixes_batch(arm):
                batching = fixed_batching(batching_of_arm, batching)
            generator.batching = batching
        return generator

    batching_of_arm = arguments.archive.parent / "batch.json"
    folder = arguments.archive.parent / ".partial" / shard.name
    partial = PartialShard(folder, Identity(arm.fingerprint, model["digest"]), None)
    attempts = partial.count_attempt()
    with Progress(f"{arm.name} {shard.name}", len(prompts), "image") as progress:
        generator = draw_shard(prompts, partial, load, started=progress.skip, progress=progress.update)
        seconds, rate = progress.seconds(), progress.rate()
    fixed = chosen_batching(batching_of_arm) if fixes_batch(arm) else None
    together = Counter(tokens.drawn_together for tokens in partial.read_tokens(prompts).values())
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
            "vq": model.get("vq"),
            "batch_size": None if fixed is None else fixed.batch_size,
            "drawn_together": {str(size): count for size, count in sorted(together.items())},
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
