"""Draws the images of one shard of one arm and packs them; goes on where an earlier attempt stopped."""

import argparse
import logging
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import door

from emudrift.generation.draw_shard import draw_shard
from emudrift.errors import InputError
from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.generation.interface import AnyGenerator, BatchedGenerator
from emudrift.generation.registry import fixes_batch, is_unchanged, load_generator
from emudrift.generation.attempts import History, Recording, images_per_hour
from emudrift.runtime.jobs import Walltime, end_of_job, stoppable
from emudrift.runtime.locks import Lock
from emudrift.runtime.progress import Progress
from emudrift.data.prompts import load_prompts
from emudrift.generation.shards import Identity, PartialShard, lock_of
from emudrift.generation.batching import chosen_batching, fixed_batching
from emudrift.generation.archives import is_finished, remove_leftovers, write_archive
from emudrift.runtime.json_files import write_json

PACKAGES = ("torch", "transformers", "peft", "diffusers", "numpy", "pillow")


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
    arm, shard = experiment.arm(arguments.arm), RowRange.parse(arguments.rows)
    model = door.load_json(arguments.model)
    table = load_prompts(arguments.prompts)
    prompts = table[shard.start : shard.stop]
    if not prompts:
        raise InputError(
            f"{arguments.prompts}: has no row {shard.start:,}; sample_sizes ask for more images than prompts"
        )

    def load() -> AnyGenerator:
        if not is_unchanged(experiment, model, table):
            raise InputError(
                f"models: {arm.model}: its files are not those that check_model looked at. If that is meant, remove "
                f"{arguments.model} and run again: all images of this model are then drawn anew"
            )
        generator = load_generator(experiment, arm)
        if isinstance(generator, BatchedGenerator):
            captions = [prompt.caption for prompt in table]
            batching = generator.plan(captions, experiment.config.shard_size, arguments.batch_size)
            if fixes_batch(arm):
                batching = fixed_batching(batching_of_arm, batching)
            generator.batching = batching
        return generator

    batching_of_arm = arguments.archive.parent / "batch.json"
    work = arguments.archive.parent / ".partial" / shard.name
    label = f"{arm.name} {shard.name}"
    with stoppable() as stopping, Lock(lock_of(work), label) as lock:
        remove_leftovers(arguments.archive)
        partial = PartialShard(work, Identity(arm.fingerprint, model["digest"]), None)
        if is_finished(arguments.archive, arguments.manifest, prompts, partial.identity):
            logging.info("%s: another job made it meanwhile", label)
            return
        progress = Progress(label, len(prompts), "image")
        history = History(arguments.archive.with_suffix(".attempts.jsonl"))
        walltime = Walltime(end_of_job())
        with progress, Recording(history, lock.job, progress) as recording:

            def started(done: int) -> None:
                recording.begin(done, partial.newest())
                progress.skip(done)

            def loaded() -> AnyGenerator:
                generator = load()
                recording.device = generator.device()
                return generator

            def before_batch() -> None:
                stopping.check()
                lock.check()
                walltime.check()

            draw_shard(prompts, partial, loaded, started, progress.update, before_batch)
            lock.check()
            fixed = chosen_batching(batching_of_arm) if fixes_batch(arm) else None
            together, flagged = partial.effective_batch_sizes(prompts), partial.flagged(prompts)
            sums = write_archive(arguments.archive, prompts, partial)
        write_json(
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
                "vq": model.get("vq"),
                "batch_size": None if fixed is None else fixed.batch_size,
                "drawn_together": {str(size): count for size, count in sorted(together.items())},
                "flagged": flagged,
                "images_per_hour": round(images_per_hour(history.attempts()) or 0, 1),
                "attempts": [asdict(attempt) for attempt in history.attempts()],
                "sha256": sums,
            },
        )
        stopping.ignore = True  # It is done: to fail now would undo it.
        partial.tidy()
        logging.info("%s: %d images packed", label, len(prompts))


if __name__ == "__main__":
    main()
