"""CUDA graphs of functions that work in place: recorded at their first call, started with one launch afterwards."""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor


class Graphs:
    """Runs functions by key. On a GPU each is recorded once; on a CPU each is simply called.

    A function reads and writes fixed tensors only, never asks the device for a value, and writes the same again when it is
    called again from the same `counters`.

    Args:
        counters: what a function moves on; put back after the call that warms it up for recording.
    """

    def __init__(self, device: torch.device, counters: Sequence[Tensor]) -> None:
        self.device, self.counters = device, counters
        self.recorded: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        # One for all: cuBLAS keeps a workspace for every stream that it meets.
        self.side = torch.cuda.Stream(device) if device.type == "cuda" else None

    def run(self, key: Hashable, function: Callable[[], None]) -> None:
        if self.pool is None:
            function()
            return
        if key not in self.recorded:
            self.recorded[key] = self._record(function)
        self.recorded[key].replay()

    def _record(self, function: Callable[[], None]) -> torch.cuda.CUDAGraph:
        # Libraries set themselves up in the first call, which cannot be recorded.
        before = [counter.clone() for counter in self.counters]
        assert self.side is not None
        self.side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.side):
            function()
            for counter, value in zip(self.counters, before, strict=True):
                counter.copy_(value)
        torch.cuda.current_stream(self.device).wait_stream(self.side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            function()
        return graph
