"""Stands in for CUDA's graphs and streams on a CPU, as strictly: what is captured does not run, and is then started on the same
memory without any Python.

While a graph is captured, operations that wait for the device or read the host's memory fail, and so does a replay in which
a shape differs. What a captured function leaves behind besides its fixed tensors is overwritten, as it would be by the next graph
of the pool.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from emudrift.generation.emu3 import cuda_graphs, grid_engine
from emudrift.generation.emu3.cuda_graphs import Graphs

WAITS = (
    "_local_scalar_dense",
    "item",
    "nonzero",
    "masked_select",
    "unique",
    "equal",
    "is_nonzero",
    "allclose",
    "lift_fresh",
)
"""Beginnings of names of operations that need the device's result on the host, or the host's memory on the device."""
CUDA = torch.device("cuda")


class NotCapturable(AssertionError):
    """What CUDA would refuse while it captures a graph."""


class Graph:
    """A captured function: its operations, with the tensors that they were called with and those that they gave."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], Any, Any, list[Any]]] = []

    def replay(self) -> None:
        now: dict[int, Tensor] = {}

        def given(value: Any) -> Any:
            return now.get(id(value), value) if isinstance(value, Tensor) else value

        for function, arguments, named, results in self.calls:
            again = tree_leaves(function(*tree_map(given, arguments), **tree_map(given, named)))
            for before, after in zip(results, again, strict=True):
                if isinstance(before, Tensor):
                    if before.shape != after.shape:
                        raise NotCapturable(
                            f"{function} gave {tuple(after.shape)}, and {tuple(before.shape)} when captured"
                        )
                    now[id(before)] = after


class Capture(TorchDispatchMode):
    """Records a graph's operations and undoes them at the end."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.made: dict[int, Tensor] = {}
        """Tensors of the graph's own memory, by storage."""
        self.saved: dict[int, tuple[Tensor, Tensor]] = {}
        """Bytes of other memory that it writes, and what was in them, by storage."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        name = function._schema.name.split("::")[1]
        if name.startswith(WAITS) or (name == "index" and self._has_mask(arguments)):
            raise NotCapturable(f"{name} waits for the device or reads the host's memory")
        for argument, value in zip(function._schema.arguments, arguments, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._save(value)
        known = {key(each) for each in tree_leaves((arguments, named)) if isinstance(each, Tensor)}
        result = function(*arguments, **(named or {}))
        leaves = tree_leaves(result)
        for each in leaves:
            if isinstance(each, Tensor) and key(each) not in known:
                self.made.setdefault(key(each), each)
        self.graph.calls.append((function, arguments, named or {}, leaves))
        return result

    def _has_mask(self, arguments: Any) -> bool:
        return any(isinstance(each, Tensor) and each.dtype == torch.bool for each in arguments[1])

    def _save(self, value: Tensor) -> None:
        if key(value) not in self.made and key(value) not in self.saved:
            raw = torch.empty(0, dtype=torch.uint8, device=value.device).set_(value.untyped_storage())
            self.saved[key(value)] = raw, raw.clone()

    def undo(self) -> None:
        for raw, before in self.saved.values():
            raw.copy_(before)
        for tensor in self.made.values():
            if tensor.layout == torch.strided:
                tensor.fill_(
                    torch.nan if tensor.is_floating_point() else True if tensor.dtype == torch.bool else -(10**9)
                )


def key(tensor: Tensor) -> int:
    return id(tensor) if tensor.layout != torch.strided else tensor.untyped_storage()._cdata


class StandIn:
    """Replaces CUDA for the grid engine; `graphs` are those that were captured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.graphs: list[Graph] = []
        self.capturing = False
        self.waits: list[tuple[Any, Any]] = []
        """Pairs of streams, the first of which waits for the second."""
        stand_in = self

        class Stream:
            def __init__(self, device: Any = None) -> None: ...

            def wait_stream(self, other: "Stream") -> None:
                stand_in.waits.append((self, other))

        self.main = main = Stream()

        class Within:
            def __init__(self, *given: Any) -> None: ...

            def __enter__(self) -> None: ...

            def __exit__(self, *given: object) -> None: ...

        class Capturing:
            def __init__(self, graph: Graph, pool: Any, capture_error_mode: str) -> None:
                assert capture_error_mode == "thread_local", "another thread may not wait for the device"
                self.graph, self.capture = graph, Capture(graph)

            def __enter__(self) -> None:
                assert cuda_graphs.capturing.locked(), "another thread may call CUDA while a graph is captured"
                stand_in.capturing = True
                self.capture.__enter__()

            def __exit__(self, *given: Any) -> None:
                self.capture.__exit__(*given)
                self.capture.undo()
                stand_in.capturing = False
                if given[0] is torch.OutOfMemoryError:
                    raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
                stand_in.graphs.append(self.graph)

        def forbid(method: Callable[..., Any]) -> Callable[..., Any]:
            def called(*given: Any, **named: Any) -> Any:
                if stand_in.capturing:
                    raise NotCapturable(f"{method.__name__} waits for the device")
                return method(*given, **named)

            return called

        stand_ins = {
            "Stream": Stream,
            "stream": Within,
            "current_stream": lambda device: main,
            "CUDAGraph": Graph,
            "graph": Capturing,
            "graph_pool_handle": lambda: "the pool",
        }
        for name, each in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, each)
        for name in ("numpy", "tolist", "cpu"):
            monkeypatch.setattr(Tensor, name, forbid(getattr(Tensor, name)))
        monkeypatch.setattr(grid_engine, "Graphs", lambda device, counters: Graphs(CUDA, counters))
        monkeypatch.setattr(cuda_graphs, "side_stream", Stream)
        cuda_graphs.decoding_stream.cache_clear()
