"""Blocks of images that are left out together: which images, for every arm the same, whatever depends on each other in one."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from emudrift.errors import InputError

Array = np.ndarray
BLOCKS = 20


@dataclass(frozen=True, eq=False)
class Blocks:
    """A division of n rows into G blocks.

    Attributes:
        labels: (n,) block of each row, 0 to G − 1.
        order: (n,) the rows, block by block; within a block in their own order.
        edges: (G + 1,) where the blocks begin and end in `order`.
    """

    labels: Array
    order: Array
    edges: Array

    @classmethod
    def of(cls, labels: Array) -> "Blocks":
        sizes = np.bincount(labels)
        return cls(labels, np.argsort(labels, kind="stable"), np.append(0, np.cumsum(sizes)))

    def __len__(self) -> int:
        return len(self.edges) - 1


def prompt_blocks(n: int, groups: Sequence[Hashable] | None = None, blocks: int = BLOCKS) -> Blocks:
    """At most `blocks` blocks of the first n prompts. Prompts of one group (image, theme, template) are in one block.

    Groups are dealt to the blocks in turn, in the order of their first prompts. Prompts are in random order, so this is a random
    division; it is the same for every arm, and a prompt stays in its block when N grows (from 2 x `blocks` prompts on).

    Args:
        groups: one for each prompt, at least the first n; None: each prompt is a group.

    Raises:
        InputError: fewer than 4 prompts, or than 2 groups: nothing could be left out.
    """
    if n < 4:
        raise InputError(f"an interval needs at least 4 images, found {n}; raise sample_sizes")
    place: dict[Hashable, int] = {}
    numbers = np.arange(n)
    if groups is not None:
        numbers = np.array([place.setdefault(group, len(place)) for group in groups[:n]])
    found = int(numbers.max()) + 1
    if found < 2:
        raise InputError(
            f"all {n:,} prompts are in the group {groups and groups[0]!r}; an interval needs at least 2 groups"
        )
    return Blocks.of(numbers % min(blocks, n // 2, found))


def reference_blocks(m: int, prompts: Blocks, places: Array | None = None) -> Blocks:
    """Blocks of m real images, as many as of prompts: an image is in the block of its own prompt, the others are dealt at random.

    Args:
        places: (n,) for each prompt the row of its own real image, −1 for none; None: no image belongs to a prompt.

    Raises:
        InputError: fewer than 2 real images for each block.
    """
    count = len(prompts)
    if m < 2 * count:
        raise InputError(f"the reference has {m:,} images; expected at least {2 * count}, 2 for each of {count} blocks")
    labels = np.full(m, -1)
    if places is not None:
        there = places >= 0
        labels[places[there]] = prompts.labels[there]
    rest = np.random.default_rng(m).permutation(np.flatnonzero(labels < 0))
    # Into the smallest blocks first, so that all end at the same size where that is possible.
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    room = np.repeat(np.arange(count), np.clip(-(-m // count) - sizes, 0, None))
    levels = np.concatenate([np.arange(size, -(-m // count)) for size in np.minimum(sizes, -(-m // count))])
    labels[rest] = room[np.argsort(levels, kind="stable")][: len(rest)]
    return Blocks.of(labels)


def most_blocks(m: int) -> int:
    """How many blocks m real images can be divided into: fewer than BLOCKS where there are very few."""
    return max(min(BLOCKS, m // 2), 2)


def block_edges(n: int, blocks: int = BLOCKS) -> Array:
    """Edges (G + 1,) of n rows in the blocks that `prompt_blocks` makes of single prompts; sizes differ by at most one."""
    return prompt_blocks(n, blocks=blocks).edges
