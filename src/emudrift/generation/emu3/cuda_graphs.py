"""CUDA graphs of in-place functions: captured at the first call, then replayed with a single launch; the process's streams."""

import threading
from collections.abc import Callable, Hashable, Sequence
from functools import cache

import torch
from torch import Tensor


@cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """The process's one stream for captures: cuBLAS allocates a workspace for every stream it is used on, and keeps it."""
    return torch.cuda.Stream(device)


@cache
def decoding_stream(device: torch.device) -> torch.cuda.Stream:
    """The process's one stream for decoding images, on which the device does so while it samples tokens."""
    return torch.cuda.Stream(device)


capturing = threading.Lock()
"""Held while a graph is captured, and by another thread while it gives the device work or allocates its memory."""


class Graphs:
    """Runs functions by key. On a GPU each is captured once and replayed; on a CPU it is simply called.

    Functions may only read and write fixed tensors, must not synchronise with the device, and must be repeatable: called again
    with the same `counters`, they write the same values.

    Args:
        counters: tensors that the functions advance; restored after the warm-up call that precedes capture.
    """

    def __init__(self, device: torch.device, counters: Sequence[Tensor]) -> None:
        self.device, self.counters = device, counters
        self.recorded: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self.side = side_stream(device) if device.type == "cuda" else None

    def run(self, key: Hashable, function: Callable[[], None]) -> None:
        if self.pool is None:
            function()
            return
        if key not in self.recorded:
            self.recorded[key] = self._record(function)
        self.recorded[key].replay()

    def _record(self, function: Callable[[], None]) -> torch.cuda.CUDAGraph:
        # Warm-up: libraries initialise themselves in the first call, which cannot be captured.
        before = [counter.clone() for counter in self.counters]
        assert self.side is not None
        self.side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.side):
            function()
            for counter, value in zip(self.counters, before, strict=True):
                counter.copy_(value)
        torch.cuda.current_stream(self.device).wait_stream(self.side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on waiting for the device; by default, CUDA would take that as an error of the capture.
        with capturing, torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            function()
        return graph
