"""What the benchmarks of generation measure with: clocks, memory bandwidth, the roofline, and whole shards."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from emudrift.data.prompts import Prompt
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.emu3.generator import Emu3Generator
from emudrift.generation.emu3.grid_engine import GridEngine
from emudrift.generation.shards import Identity, PartialShard

IDENTITY = Identity("0" * 12, "1" * 64)


def now(device: torch.device) -> float:
    """Seconds; on a CPU those that this process computed, which depend less on what else is running."""
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def clock(device: torch.device) -> float:
    """As `now`, on a GPU once it has done everything it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return now(device)


def measured(name: str, images: int, draw: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """The tokens, on their device, and the seconds for sampling them."""
    # Before the call its device is not known; nothing that it waits for is going on.
    starts = time.perf_counter(), time.process_time()
    tokens = draw()
    seconds = clock(tokens.device) - starts[tokens.device.type != "cuda"]
    print(f"{name}: {images} images in {seconds:.1f} s, {seconds / images:.2f} s per image", flush=True)
    return tokens, seconds


def bandwidth(device: torch.device) -> float:
    """Memory bandwidth in bytes per second (reads and writes), the best of several large copies."""
    source = torch.ones(2**30 if device.type == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(8):
        start = clock(device)
        target.copy_(source)
        seconds.append(clock(device) - start)
    return 2 * source.nbytes / min(seconds)


def step_bytes(engine: GridEngine, images: int, filled: float) -> float:
    """What a step must read: the weights, and the keys and values of all previous tokens, once."""
    weights = sum(each.nbytes for each in engine.language.text.layers.parameters()) + engine.head.nbytes
    per_token = engine.language.shape(engine.recipe.structure.n_visual).bytes_per_token
    return weights + images * engine.rows_per_image * filled * per_token


def roofline(engine: GridEngine, images: int, bytes_per_second: float) -> float:
    """Seconds for the required memory traffic of all tokens of a batch."""
    recipe = engine.recipe
    mean = engine.prompt_length + recipe.h * (recipe.w + 1) / 2
    return recipe.h * recipe.w * step_bytes(engine, images, mean) / bytes_per_second


def graphs_of(engine: GridEngine) -> int:
    """CUDA graphs that the engine has captured."""
    return 0 if engine._batch is None else len(engine._batch.graphs.recorded)


@dataclass
class Drawn:
    """A shard from prompts to PNG files.

    Attributes:
        seconds: in all.
        sampling: seconds of each batch until its tokens were there; on a GPU the batch before is decoded meanwhile.
        codes: (images, h, w).
        files: name to contents.
    """

    seconds: float = 0.0
    sampling: list[float] = field(default_factory=list)
    codes: np.ndarray = field(default_factory=lambda: np.empty(0))
    files: dict[str, bytes] = field(default_factory=dict)


def drawn_to_png(
    generator: Emu3Generator,
    prompts: list[Prompt],
    folder: Path | None = None,
    before_batch: Callable[[], None] = lambda: None,
) -> Drawn:
    """Generates a shard as a job does, tokens, pixels and files, but for packing the archive.

    Args:
        folder: of the shard in progress; default: a temporary one.
    """
    found, codes_of, parts, device = Drawn(), generator.codes, [], generator.weights.device

    def timed(batch: list[Prompt]) -> np.ndarray:
        start = now(device)
        parts.append(codes_of(batch))
        found.sampling.append(now(device) - start)
        return parts[-1]

    generator.codes = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as temporary:
            place = folder or Path(temporary)
            start = clock(device)
            draw_shard(prompts, PartialShard(place, IDENTITY, None), lambda: generator, before_batch=before_batch)
            found.seconds = clock(device) - start
            found.files = {path.name: path.read_bytes() for path in sorted(place.glob("[!.]*")) if path.is_file()}
    finally:
        generator.codes = codes_of  # type: ignore[method-assign]
    found.codes = np.concatenate(parts) if parts else found.codes
    return found
