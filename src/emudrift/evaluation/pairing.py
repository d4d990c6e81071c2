"""Which results are compared with which: every model with the baseline, in the same set of prompts, at equal guidance scales."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol, TypeVar


class Comparable(Protocol):
    """A result of one arm."""

    @property
    def prompt_set(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def guidance_scale(self) -> float | None: ...


Result = TypeVar("Result", bound=Comparable)


def pairs_with_baseline(
    results: Sequence[Result], baseline: str, same: Callable[[Result], Hashable]
) -> Iterator[tuple[Result, Result]]:
    """Yields (baseline, other) in the order of the others. An arm without a guidance scale is compared with every arm of its set.

    Args:
        same: what both results of a pair must share, such as extractor and N.
    """
    of_baseline = [each for each in results if each.model == baseline]
    for ours in results:
        if ours.model == baseline:
            continue
        for theirs in of_baseline:
            alike = None in (ours.guidance_scale, theirs.guidance_scale) or ours.guidance_scale == theirs.guidance_scale
            if alike and ours.prompt_set == theirs.prompt_set and same(ours) == same(theirs):
                yield theirs, ours
