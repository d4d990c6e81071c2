"""The elementwise parts of a decoder layer: rotary position embeddings, and the gated activation.

On a GPU each is one kernel, compiled by torch's jiterator (NVRTC, which comes with torch) when a model is loaded. torch's own
operations would need two kernels each, and in a step of few rows a kernel costs more than its work.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import silu

from emudrift.generation.emu3.cuda_graphs import Graphs
from emudrift.generation.emu3.memory import is_out_of_memory

logger = logging.getLogger(__name__)

ROTATE = """
template <typename T> T emudrift_rotate(T low, T high, T of_low, T of_high) {
    return static_cast<T>(static_cast<float>(low) * static_cast<float>(of_low)
                          + static_cast<float>(high) * static_cast<float>(of_high));
}"""
SWIGLU = """
template <typename T> T emudrift_swiglu(T gate, T up) {
    float x = static_cast<float>(gate);
    return static_cast<T>(x / (1.0f + ::exp(-x)) * static_cast<float>(up));
}"""


@dataclass(frozen=True)
class Elementwise:
    """The two functions, and how they are computed.

    Attributes:
        rotate: (low, high, of_low, of_high) to low * of_low + high * of_high, which broadcast.
        swiglu: (rows, 2 * n), gates and values, to (rows, n): silu(gate) * value (Shazeer 2020).
        fused: whether each is a single kernel.
    """

    rotate: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    swiglu: Callable[[Tensor], Tensor]
    fused: bool


def _rotate(low: Tensor, high: Tensor, of_low: Tensor, of_high: Tensor) -> Tensor:
    return torch.addcmul(low * of_low, high, of_high)


def _swiglu(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return silu(gate).mul_(up)


PLAIN = Elementwise(_rotate, _swiglu, fused=False)


def elementwise_for(device: torch.device, dtype: torch.dtype) -> Elementwise:
    """Fused on a GPU where that compiles and agrees with torch's operations; the log says where it does not."""
    if device.type != "cuda":
        return PLAIN
    from torch.cuda.jiterator import _create_jit_fn

    rotate, gated = _create_jit_fn(ROTATE), _create_jit_fn(SWIGLU)
    fused = Elementwise(rotate, lambda gate_up: gated(*gate_up.chunk(2, dim=-1)), fused=True)
    fault = fault_of(fused, device, dtype)
    if fault is not None:
        logger.warning("compiled elementwise kernels: not used, %s; torch's own take two kernels each", fault)
        return PLAIN
    return fused


def fault_of(fused: Elementwise, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why `fused` cannot be used on a device; None if its results are those of torch's operations in float64, rounded, also from
    a CUDA graph.

    Raises:
        torch.OutOfMemoryError: there is too little memory for it.
    """
    random = torch.Generator().manual_seed(0)
    # As in a layer of the published model: halves of heads, factors that broadcast over heads, gates next to values.
    rows, groups, kv_heads, half = 4, 6, 8, 64
    joined = torch.randn(rows, 2, groups, kv_heads, 2, half, generator=random).to(dtype)
    factors = torch.randn(rows, 2, 2, groups, 1, 2, half, generator=random).to(dtype)
    gate_up = torch.randn(rows, 2, 256, generator=random).to(dtype)

    def results(of: Elementwise, joined: Tensor, factors: Tensor, gate_up: Tensor) -> Tensor:
        rotated = of.rotate(*joined.split(1, dim=4), *factors.unbind(2)).view(rows, 2, -1)
        return torch.cat([rotated, of.swiglu(gate_up)], dim=-1)

    exact = results(PLAIN, joined.double(), factors.double(), gate_up.double())
    try:
        on_device = joined.to(device), factors.to(device), gate_up.to(device)
        found = torch.zeros(exact.shape, dtype=dtype, device=device)

        def step() -> None:
            found.copy_(results(fused, *on_device))

        Graphs(device, ()).run("elementwise", step)
        errors = (found.cpu().double() - exact).abs() / exact.abs().max()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return f"they do not run here: {' '.join(str(error).split())[:200]}"
    largest = float(errors.max())
    if not largest <= 2 * torch.finfo(dtype).eps:  # Also if it is NaN.
        return f"they differ from torch's operations by {largest:.2g}"
    return None
