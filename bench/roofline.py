"""Kernels and bytes of a decoding step of the 8 B model, counted and compared with what the step requires.

Nothing is timed and no GPU is needed: the engine's own step runs on tensors without memory (`kernel_counter`). A step requires
the weights, and the keys and values of all previous tokens, once. Layers are alike, so two and three of them are counted and
extrapolated to 32. The last line of output is JSON:

bytes_ratio         bytes that a step reads, over those required, with flash; the largest of all cases
launches_per_layer  kernels of a layer, with one token per row, if the elementwise parts are compiled; else ..._not_compiled
"""

import argparse
import json
from dataclasses import dataclass

import random_emu3 as bench
import torch
from kernel_counter import KernelCounter

from emudrift.generation.emu3.elementwise import PLAIN
from emudrift.generation.emu3.grid_engine import GridEngine, _Batch
from emudrift.generation.emu3.language_model import LanguageModel

BATCHES = (24, 48, 96)
SIDE, PROMPT, BUCKET = 64, 64, 256
META = torch.device("meta")


@dataclass(frozen=True)
class Step:
    """One step of the whole model.

    Attributes:
        launches_per_layer, launches: kernels.
        bytes_read: by all kernels.
        bytes_required: weights and filled cache.
    """

    launches_per_layer: int
    launches: int
    bytes_read: int
    bytes_required: int

    @property
    def ratio(self) -> float:
        return self.bytes_read / self.bytes_required


class Counted:
    """The engine for the 8 B model's shape with two and with three layers."""

    def __init__(self, side: int = SIDE) -> None:
        self.engines = []
        for layers in (2, 3):
            model = bench.random_model(
                bench.LARGE | {"num_hidden_layers": layers}, bench.VISUAL_TOKENS, META, torch.bfloat16
            )
            language = LanguageModel(model.model.text_model)
            recipe = bench.new_recipe(model, side, side, top_k=2048)
            self.engines.append(GridEngine(model, language, recipe, prompt_length=PROMPT, kv_bucket=BUCKET))

    def lengths(self) -> dict[str, int]:
        """Filled positions after the first, a middle and the last step."""
        first, last = PROMPT + 1, PROMPT + SIDE * (SIDE + 1) - 1
        return {"start": first, "middle": (first + last) // 2, "end": last}

    def step(self, attention: str, images: int, filled: int, compiled: bool = True, new: int = 1) -> Step:
        """Counts the step after which each row has `filled` positions, having added `new` tokens."""
        counts = [self._count(engine, attention, images, filled, compiled, new) for engine in self.engines]
        (few, read_few), (many, read_many) = counts
        more = bench.LARGE["num_hidden_layers"] - 2
        engine = self.engines[0]
        layer, head = engine.language.text.layers[0], engine.head
        weights = (more + 2) * sum(each.nbytes for each in layer.parameters()) + head.nbytes
        per_token = engine.language.shape(bench.VISUAL_TOKENS).bytes_per_token // 2 * (more + 2)
        return Step(
            launches_per_layer=many - few,
            launches=few + more * (many - few),
            bytes_read=read_few + more * (read_many - read_few),
            bytes_required=weights + images * engine.rows_per_image * filled * per_token,
        )

    @staticmethod
    @torch.inference_mode()
    def _count(
        engine: GridEngine, attention: str, images: int, filled: int, compiled: bool, new: int
    ) -> tuple[int, int]:
        counter, shared = KernelCounter(), engine.language
        engine.language = shared.using(attention)
        engine.language.elementwise = counter.fused(PLAIN) if compiled else PLAIN
        with counter:
            batch = _Batch(engine, images)
            batch.cache_lengths.fill_(filled - new)
            counter.kernels.clear()
            batch._step(new, engine._kv_length(filled))
        engine.language = shared
        return len(counter.kernels), counter.bytes_read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    counted = Counted()
    ratios: dict[str, dict[str, float]] = {"flash": {}, "sdpa": {}}
    launches = {}
    for attention, found in ratios.items():
        for images in BATCHES:
            for place, filled in counted.lengths().items():
                step = counted.step(attention, images, filled)
                found[f"{images} {place}"] = round(step.ratio, 4)
                print(
                    f"{attention}, batch of {images}, {place} of the cache ({filled}): {step.launches} kernels, "
                    f"{step.launches_per_layer} per layer; {step.bytes_read / 1e9:.2f} GB read, "
                    f"{step.bytes_required / 1e9:.2f} GB required"
                )
        filled = counted.lengths()["middle"]
        launches[attention] = {
            "launches_per_layer": counted.step(attention, 48, filled).launches_per_layer,
            "launches_per_layer_not_compiled": counted.step(attention, 48, filled, compiled=False).launches_per_layer,
            "launches_per_layer_at_ends_of_lines": counted.step(attention, 48, filled, new=2).launches_per_layer,
            "launches_per_step": counted.step(attention, 48, filled).launches,
            "bytes_ratio": max(ratios[attention].values()),
            "bytes_ratios": ratios[attention],
        }
    figures = {name: launches["flash"][name] for name in ("bytes_ratio", "launches_per_layer")}
    print(json.dumps(figures | launches))


if __name__ == "__main__":
    main()
