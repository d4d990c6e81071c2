"""Counts the kernels that a GPU would launch, and the bytes that they would read, while code runs on tensors without memory.

Tensors of floating point live on the meta device: shapes only. Integers (positions, lengths) are real and on the CPU, so that
an operation whose reads depend on them, like attention over the filled part of a cache, is counted by what it was told to read.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from emudrift.generation.emu3.elementwise import Elementwise

aten = torch.ops.aten

ONE_KERNEL = {aten.linear.default, aten.rms_norm.default, aten.scaled_dot_product_attention.default}
"""Composite operations for which CUDA has a kernel; all other composite ones are counted by their parts."""

NO_KERNEL = {aten.empty.memory_format, aten.empty_like.default, aten.new_empty.default}

ROWS_READ = {aten.embedding.default, aten.index.Tensor, aten.gather.default, aten.index_select.default}
"""They read as much as they return, whatever the size of what they look it up in."""

WRITTEN_ONLY = {
    aten.copy_.default,
    aten.index_put_.default,
    aten.index_copy_.default,
    aten.fill_.Scalar,
    aten.zero_.default,
}
"""Their first argument is written and not read."""


@dataclass(frozen=True)
class Kernel:
    """One launch, and the bytes of its inputs, each read once."""

    name: str
    bytes_read: int


class KernelCounter(TorchDispatchMode):
    """While active, notes one kernel per operation that computes or copies something; views are free.

    A lower limit where torch launches several kernels for one operation (`topk`, or attention whose keys are split).
    Asking a tensor for its value is an error: within a CUDA graph it cannot be done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[Kernel] = []
        self._paused = False

    @property
    def bytes_read(self) -> int:
        return sum(kernel.bytes_read for kernel in self.kernels)

    def fused(self, elementwise: Elementwise) -> Elementwise:
        """The same functions, counted as what they are on a GPU: one kernel each."""
        return Elementwise(self._single("rotate", elementwise.rotate), self._single("swiglu", elementwise.swiglu), True)

    def _single(self, name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def counted(*given: Tensor) -> Tensor:
            with self._pause():
                result = function(*given)
            self.kernels.append(Kernel(name, sum(map(_nbytes, given))))
            return result

        return counted

    @contextlib.contextmanager
    def _pause(self) -> Iterator[None]:
        self._paused = True
        yield
        self._paused = False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is aten._local_scalar_dense.default:
            raise AssertionError("a step asks for the value of a tensor; it cannot become a CUDA graph")
        if function not in ONE_KERNEL:
            with self:
                parts = function.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        result = _run(function, given, args, kwargs)
        returned = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        known = {each.untyped_storage()._cdata for each in given}
        computes = any(each.untyped_storage()._cdata not in known for each in returned)
        if not self._paused and function not in NO_KERNEL and (computes or function._schema.is_mutable):
            self.kernels.append(Kernel(str(function), _bytes_read(function, given, returned, args, kwargs)))
        return result


def _run(function: Any, given: list[Tensor], args: Any, kwargs: Any) -> Any:
    """Shapes only as soon as a number of floating point is involved; else the operation itself, on the CPU."""
    if any(each.is_meta for each in given):
        args, kwargs = tree_map(lambda each: each.to("meta") if isinstance(each, Tensor) else each, (args, kwargs))
        return tree_map(_real_integers, function(*args, **kwargs))
    result = function(*args, **kwargs)
    if isinstance(result, Tensor) and result.is_meta and not result.is_floating_point():
        return function(*args, **(kwargs | {"device": torch.device("cpu")}))
    return result


def _real_integers(result: Any) -> Any:
    """Integers that floating point decides, like sampled codes, are 0."""
    if isinstance(result, Tensor) and not result.is_floating_point():
        return torch.zeros(result.shape, dtype=result.dtype)
    return result


def _bytes_read(function: Any, given: list[Tensor], returned: list[Tensor], args: Any, kwargs: Any) -> int:
    if function is aten._flash_attention_forward.default:
        query, keys, filled = args[0], args[1], int(kwargs["seqused_k"].sum())
        return _nbytes(query) + 2 * filled * math.prod(keys.shape[1:]) * keys.itemsize
    if function in ROWS_READ:
        return sum(map(_nbytes, returned)) + sum(_nbytes(each) for each in given[1:])
    if function in WRITTEN_ONLY:
        given = given[1:]
    return sum(map(_nbytes, given))


def _nbytes(tensor: Tensor) -> int:
    """Bytes of the numbers that a tensor shows; what is expanded lies in memory once."""
    shown = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in shown if stride != 0) * tensor.itemsize
