"""Attention over a KV cache whose rows are filled to different lengths, by two kernels, and the self-check of the second.

`sdpa`, torch's scaled_dot_product_attention with unfilled positions masked, works everywhere. `flash`, the kernel behind
torch.nn.attention.varlen, takes the rows' lengths as input and reads filled positions only; it needs a GPU and 16 bit.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from emudrift.generation.emu3.cuda_graphs import Graphs
from emudrift.generation.emu3.memory import is_out_of_memory

CachedAttention = Callable[[Tensor, Tensor], Tensor]
"""Queries (rows, n, heads, head_dim) and a layer's cache (2, rows, capacity, kv_heads, head_dim) to the attention output, which
has as many numbers as the queries, in the same order."""

# Older versions than 2.13 may lack it (2.11 does); there the kernel decides by the batch, which is fixed per arm in 16 bit.
_arguments = {each.name for each in torch.ops.aten._flash_attention_forward.default._schema.arguments}
ONE_SPLIT = {"num_splits": 1} if "num_splits" in _arguments else {}
"""Keys of a row are not divided among thread blocks, so that no rounding depends on how many rows there are."""


def sdpa(positions: Tensor, kv_length: int, groups: int, dtype: torch.dtype) -> CachedAttention:
    """Masked attention over the first `kv_length` positions.

    Query heads that share keys are stacked along the query axis, so that keys are not repeated whichever kernel torch picks.

    Args:
        positions: (rows, n) of the new tokens; they attend to these and all earlier ones.
        groups: query heads per key head.
    """
    rows, n = positions.shape
    visible = torch.arange(kv_length, device=positions.device) <= positions[:, :, None]
    mask = torch.zeros(visible.shape, dtype=dtype, device=positions.device).masked_fill_(~visible, -torch.inf)
    mask = mask[:, None, :, None].expand(rows, 1, n, groups, kv_length).reshape(rows, 1, n * groups, kv_length)

    def attend(query: Tensor, layer_cache: Tensor) -> Tensor:
        keys, values = layer_cache[:, :, :kv_length].transpose(2, 3)
        kv_heads = keys.shape[1]
        query = query.view(rows, n, kv_heads, groups, -1).transpose(1, 2).reshape(rows, kv_heads, n * groups, -1)
        attended = scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return attended.view(rows, kv_heads, n, groups, -1).transpose(1, 2)

    return attend


def flash(positions: Tensor, kv_length: int, groups: int, dtype: torch.dtype) -> CachedAttention:
    """Attention over the filled positions of each row; as `sdpa`, but `kv_length` is the cache's whole capacity."""
    rows, n = positions.shape
    row = torch.arange(rows + 1, device=positions.device, dtype=torch.int32)
    starts, key_starts = row * n, row * kv_length
    used = (positions[:, -1] + 1).to(torch.int32)

    def attend(query: Tensor, layer_cache: Tensor) -> Tensor:
        keys, values = layer_cache.flatten(1, 2)
        return varlen(query.flatten(0, 1), keys, values, starts, key_starts, n, kv_length, used)

    return attend


KERNELS = {"sdpa": sdpa, "flash": flash}


def varlen(
    query: Tensor, keys: Tensor, values: Tensor, starts: Tensor, key_starts: Tensor, n: int, capacity: int, used: Tensor
) -> Tensor:
    """torch's variable-length FlashAttention, causal and aligned at the end.

    What torch.nn.attention.varlen.varlen_attn calls: that function launches another kernel for random numbers that are not used,
    and up to torch 2.11 refuses queries with more heads than keys.

    Args:
        query: (rows * n, heads, head_dim), 16 bit.
        keys, values: (rows * capacity, kv_heads, head_dim).
        starts, key_starts: (rows + 1,) int32, first query and key of each row.
        used: (rows,) int32, filled positions of each row.
    """
    causal = n > 1  # A single token attends to everything; not saying so lets the kernel pack query heads.
    attended: Tensor = torch.ops.aten._flash_attention_forward(
        query,
        keys,
        values,
        starts,
        key_starts,
        n,
        capacity,
        0.0,
        causal,
        False,
        window_size_left=-1,
        window_size_right=0 if causal else -1,
        seqused_k=used,
        **ONE_SPLIT,
    )[0]
    return attended


USED = (2, 100, 257, 384)
"""Filled positions of the self-check's rows, the last of which is full."""


def flash_fault(heads: int, kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why `flash` cannot be used on a device; None if its results are as good as those of `sdpa`, also from a CUDA graph.

    Both are compared with float32 on random numbers of the model's shape, for steps of one token and of two. As in
    FlashAttention's own tests, twice the error of the other kernel is allowed. What lies beyond the filled positions is large, so
    that reading it would be seen.

    Raises:
        torch.OutOfMemoryError: there is too little memory for it.
    """
    random = torch.Generator().manual_seed(0)
    rows, capacity, groups = len(USED), max(USED), heads // kv_heads
    cache = torch.randn(2, rows, capacity, kv_heads, head_dim, generator=random).to(dtype)
    for row, used in enumerate(USED):
        cache[:, row, used:] = 100.0
    cache = cache.to(device)
    graphs = Graphs(device, ())
    for n in (1, 2):
        query = 2 * torch.randn(rows, n, heads, head_dim, generator=random)
        query = query.to(dtype).to(device)
        positions = torch.tensor(USED, device=device)[:, None] + torch.arange(-n, 0, device=device)
        found = torch.zeros_like(query)

        def step(n: int = n, query: Tensor = query, positions: Tensor = positions, found: Tensor = found) -> None:
            found.copy_(flash(positions, capacity, groups, dtype)(query, cache).view_as(found))

        try:
            graphs.run(n, step)
            exact = sdpa(positions, capacity, groups, torch.float32)(query.float(), cache.float()).reshape(query.shape)
            known = sdpa(positions, capacity, groups, dtype)(query, cache).reshape(query.shape)
            error, allowed = _largest(found, exact), 2 * _largest(known, exact) + torch.finfo(dtype).eps
        except (RuntimeError, TypeError) as fault:
            if is_out_of_memory(fault):
                raise
            return f"it does not run here: {' '.join(str(fault).split())[:200]}"
        if not error <= allowed:  # Also if it is NaN.
            return f"it differs from sdpa: by {error:.2g} for {n} new tokens, where {allowed:.2g} are rounding"
    return None


def _largest(found: Tensor, exact: Tensor) -> float:
    return float((found.float() - exact).abs().max())
