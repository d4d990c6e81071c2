"""The prompt table on disk: which caption is used for each image, the order of the prompts, and their seeds."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from emudrift.data.input_files import read_parquet, refuse_no_file
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import check_sha256

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("file_name", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("seed", pa.uint64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Prompt:
    """One row of the prompt table: the caption of one dataset image.

    Width and height in pixels, 0 if unknown; `group`: None without one.
    """

    row: int
    prompt_id: str
    image_id: int
    file_name: str
    width: int
    height: int
    caption: str
    seed: int
    group: str | None = None


GROUP = pa.field("group", pa.string(), nullable=False)
"""A further column where the config names one (prompts: group_column)."""


def groups_of(prompts: Sequence[Prompt]) -> list[Hashable]:
    """What each prompt shares with others: the group that the config names, else its image."""
    return [prompt.image_id if prompt.group is None else prompt.group for prompt in prompts]


def load_prompts(path: str | Path) -> list[Prompt]:
    """Loads the prompts, in row order, from a file by `write_prompts`.

    Raises InputError if the file is missing, is not parquet, has other columns, or its rows are not 0..n-1.
    """
    path = Path(path)
    refuse_no_file(path, "it is created by the rule extract_prompts")
    check_sha256(path)
    table = read_parquet(path)
    if not table.schema.remove_metadata().equals(SCHEMA.append(GROUP) if GROUP.name in table.column_names else SCHEMA):
        found, wanted = (
            ", ".join(f"{column.name} {column.type}" for column in schema) for schema in (table.schema, SCHEMA)
        )
        raise InputError(f"{path} is not a prompt table: it has the columns {found}; expected {wanted}")
    prompts = [Prompt(**record) for record in table.to_pylist()]
    for number, prompt in enumerate(prompts):
        if prompt.row != number:
            raise InputError(f"{path}: row {number} is numbered {prompt.row}; rows must be 0..n-1: recreate the file")
    return prompts
