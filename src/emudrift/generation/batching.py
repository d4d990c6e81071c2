"""The batching of an arm: fixed by its first shard and reused by all others."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from emudrift.errors import InputError
from emudrift.generation.interface import Batching
from emudrift.generation.shards import logger
from emudrift.runtime.atomic_files import TEMPORARY_PREFIX, hard_link, write_bytes_atomically, write_checksum
from emudrift.runtime.json_files import load_record


def fixed_batching(path: Path, wanted: Batching) -> Batching:
    """The batching fixed by the arm's first shard; if this is the first shard, fixes `wanted`.

    Args:
        path: JSON file next to the arm's shards.
        wanted: used if no batching has been fixed yet.

    Raises:
        InputError: prompts are now longer than the fixed padding.
    """
    mine = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{path.name}")
    fields = {name: value for name, value in asdict(wanted).items() if value is not None}
    write_bytes_atomically(mine, json.dumps(fields).encode())
    # If several jobs start simultaneously, one of them creates the link and the others find the complete file.
    try:
        hard_link(mine, path)
        write_checksum(path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    chosen = chosen_batching(path)
    if chosen.prompt_length < wanted.prompt_length:
        raise InputError(
            f"{path}: prompts are padded to {chosen.prompt_length} tokens, but one now has {wanted.prompt_length}: the captions "
            f"have changed. Start over with ARM={path.parent.name} snakemake remove_images"
        )
    if chosen.batch_size != wanted.batch_size:
        logger.info("batch size %d, as fixed for this arm in %s, not %d", chosen.batch_size, path, wanted.batch_size)
    if None not in (chosen.attention, wanted.attention) and chosen.attention != wanted.attention:
        logger.info("attention %s, as fixed for this arm in %s, not %s", chosen.attention, path, wanted.attention)
    return chosen


def chosen_batching(path: Path) -> Batching:
    """The batching that `fixed_batching` stored. Raises InputError if the file is missing or damaged."""
    return load_record(path, Batching, "remove it together with the arm's images")


def with_attention(batching: Batching, settings: Mapping[str, Any]) -> Batching:
    """The batching of an arm with the attention that its settings state, where version 0.2 fixed it without."""
    stated = settings.get("attention")
    return batching if batching.attention is not None else replace(batching, attention=stated)
