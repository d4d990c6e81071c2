"""Generating the missing images of a shard: batch by batch, tokens first; decoding and writing overlap with it."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from types import TracebackType

import numpy as np

from emudrift.data.prompts import Prompt
from emudrift.generation.interface import AnyGenerator, GeneratedImage, Generator, ShardGenerator, TokenGenerator
from emudrift.generation.shards import PartialShard
from emudrift.runtime.jobs import Stopped

logger = logging.getLogger(__name__)

WRITERS = 2
"""Threads that encode and write images; zlib and file I/O release the GIL."""
WAITING = 64
"""Maximum number of images in the write queue, which bounds its memory."""


def draw_shard(
    prompts: Sequence[Prompt],
    partial: PartialShard,
    load: Callable[[], AnyGenerator],
    started: Callable[[int], None] = lambda done: None,
    progress: Callable[[int], None] = lambda done: None,
    before_batch: Callable[[], None] = lambda: None,
) -> None:
    """Generates every missing sample of a shard.

    Batches lie on a fixed grid of rows. A batch with any missing sample is generated as a whole, so that a resumed shard has the
    same batches as an uninterrupted one and gives the same bytes even where a model's rounding depends on the batch.
    A `ShardGenerator` has no batches: it is given the missing prompts.

    Args:
        load: loads the generator; not called if nothing is missing.
        started: called once, with the number of samples finished by earlier attempts.
        progress: called with the number of samples just written.
        before_batch: called before each batch, and periodically by a `ShardGenerator`; may raise `Stopped`, in which case the
            queued samples are still written.

    Raises:
        InputError: the generator failed, or a sample cannot be written.
    """
    missing = partial.missing(prompts)
    started(len(prompts) - len(missing))
    if not missing:
        return
    generator = load()
    partial.size = generator.size
    with _Writer(partial, progress) as writer:
        if isinstance(generator, ShardGenerator):
            rest = [prompt for prompt in prompts if prompt.prompt_id in missing]
            before_batch()
            # Closed immediately on any failure, because it may have a program running.
            with closing(generator.generate_all(rest, before_batch)) as images:  # type: ignore[type-var]
                for prompt, image in images:
                    writer.write(prompt, image)
        elif isinstance(generator, TokenGenerator):
            _generate_tokens(prompts, partial, generator, missing, before_batch, writer)
        else:
            _generate_images(_grid(prompts, generator.batch_size, missing, before_batch), generator, missing, writer)


Batches = Iterator[Sequence[Prompt]]


def _generate_images(batches: Batches, generator: Generator, missing: set[str], writer: "_Writer") -> None:
    for batch in batches:
        for prompt, image in zip(batch, generator.generate(batch), strict=True):
            if prompt.prompt_id in missing:
                writer.write(prompt, image)


def _generate_tokens(
    prompts: Sequence[Prompt],
    partial: PartialShard,
    generator: TokenGenerator,
    missing: set[str],
    before_batch: Callable[[], None],
    writer: "_Writer",
) -> None:
    kept, size = partial.read_tokens(prompts), generator.batching.batch_size

    def is_kept(batch: Sequence[Prompt]) -> bool:
        return all(prompt.prompt_id in kept for prompt in batch)

    decoded = [prompt for batch in _grid(prompts, size, missing) if is_kept(batch) for prompt in batch]
    if count := sum(prompt.prompt_id in missing for prompt in decoded):
        logger.info("tokens of %d images already exist and are only decoded", count)

    def write(prompt: Prompt, codes: np.ndarray, image: np.ndarray) -> None:
        if prompt.prompt_id in missing:
            writer.write(prompt, GeneratedImage(image, codes.astype(np.uint16)))

    with _Decoder(generator, write) as decoder:
        for batch in _grid(prompts, size, missing, before_batch):
            if is_kept(batch):
                codes = np.stack([kept[prompt.prompt_id].codes for prompt in batch])
            else:
                codes = generator.codes(batch)
                partial.write_tokens(batch, codes, generator.effective_batch_size)
            # Whole batches are decoded, too, for the same reason.
            decoder.decode(batch, codes)


def _grid(
    prompts: Sequence[Prompt], size: int, missing: set[str], before: Callable[[], None] = lambda: None
) -> Batches:
    """Yields the batches that have missing samples."""
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        if any(prompt.prompt_id in missing for prompt in batch):
            before()
            yield batch


class _Decoder:
    """Decodes batches; if the generator can, image by image in another thread, while the next batch is sampled.

    Args:
        write: takes a prompt, its codes and its image, in the order of the prompts and in this thread.
    """

    def __init__(self, generator: TokenGenerator, write: Callable[[Prompt, np.ndarray, np.ndarray], None]) -> None:
        self.generator, self.write = generator, write
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decoder") if generator.overlaps else None
        self._waiting: deque[tuple[Prompt, np.ndarray, Future[np.ndarray]]] = deque()

    def decode(self, batch: Sequence[Prompt], codes: np.ndarray) -> None:
        """Decodes a batch, or begins to. Raises the error of the batch before."""
        if self._pool is None:
            for prompt, code, image in zip(batch, codes, self.generator.decode(codes), strict=True):
                self.write(prompt, code, image)
            return
        while self._waiting:
            self._settle()
        for prompt, code in zip(batch, codes, strict=True):
            self._waiting.append((prompt, code, self._pool.submit(self.generator.decode, code[None])))

    def _settle(self) -> None:
        prompt, codes, image = self._waiting.popleft()
        self.write(prompt, codes, image.result()[0])

    def __enter__(self) -> "_Decoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # If the job is asked to end, what is decoded is kept; of the rest the tokens are on the disk.
            while self._waiting and (kind is None or (kind is Stopped and self._waiting[0][2].done())):
                self._settle()
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)


class _Writer:
    """Encodes and writes samples in background threads, so that the generator does not wait for the disk."""

    def __init__(self, partial: PartialShard, progress: Callable[[int], None]) -> None:
        self.partial, self.progress = partial, progress
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="writer")
        self._waiting: deque[Future[None]] = deque()

    def write(self, prompt: Prompt, image: GeneratedImage) -> None:
        """Queues a sample. Raises the error of an earlier one, so that a full disk stops the work within `WAITING` images."""
        self._waiting.append(self._pool.submit(self.partial.write, prompt, image))
        while len(self._waiting) > WAITING or (self._waiting and self._waiting[0].done()):
            self._settle()

    def _settle(self) -> None:
        self._waiting.popleft().result()
        self.progress(1)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # Also if the job is asked to end: finished images are kept.
            while (kind is None or kind is Stopped) and self._waiting:
                self._settle()
        finally:
            self._pool.shutdown(cancel_futures=True)
