"""The batching of an arm, which its first shard fixes and every later one keeps."""

import json
import uuid
from dataclasses import asdict
from pathlib import Path

from emudrift.errors import InputError
from emudrift.generation.interface import Batching
from emudrift.generation.shards import logger
from emudrift.runtime.atomic_files import TEMPORARY_PREFIX, hard_link, write_bytes_atomically
from emudrift.runtime.json_files import load_record


def fixed_batching(path: Path, wanted: Batching) -> Batching:
    """The batching that the first shard of an arm chose; every later one keeps it.

    Args:
        path: JSON beside the arm's shards.
        wanted: taken if nobody chose before.

    Raises:
        InputError: prompts have grown longer than what was chosen.
    """
    mine = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{path.name}")
    write_bytes_atomically(mine, json.dumps(asdict(wanted)).encode())
    # Of several jobs that start together one makes the link; the others find it, whole.
    try:
        hard_link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    chosen = chosen_batching(path)
    if chosen.prompt_length < wanted.prompt_length:
        raise InputError(
            f"{path}: prompts are padded to {chosen.prompt_length} tokens, and now there is one of {wanted.prompt_length}: the "
            f"captions were changed. Start over with ARM={path.parent.name} snakemake remove_images"
        )
    if chosen.batch_size != wanted.batch_size:
        logger.info("batch size %d, which %s fixed for this arm, not %d", chosen.batch_size, path, wanted.batch_size)
    return chosen


def chosen_batching(path: Path) -> Batching:
    """What `fixed_batching` fixed. Raises InputError if the file is missing or broken."""
    return load_record(path, Batching, "remove it, and the arm's images with it")
