"""Emu3's language model, which is Llama's, written out over transformers' weights with a cache of fixed shape.

A row of the cache is filled from its first slot on, whatever the length of its prompt: a token's slot is its position, no
padding stands between, and what is filled is one number per row.
"""

from collections.abc import Callable

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter
from torch.nn.functional import rms_norm, scaled_dot_product_attention
from torch.utils.mkldnn import to_mkldnn
from transformers import Emu3TextModel
from transformers.models.emu3.modeling_emu3 import Emu3DecoderLayer, Emu3RMSNorm

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(query, new keys and values, the layer's cache) to what the query sees; keeps the new ones in the cache."""

PROMPT_ROWS = 16
"""Prompts are read so many rows at a time, which bounds the memory for it."""


class LanguageModel:
    """The layers of `Emu3TextModel`, with the projections that share an input joined into one.

    The joined weights take the place of the model's own, which become views of them: no memory is added (but for packed
    copies on a CPU), and the model goes on working.

    Args:
        attention: how the cache is read. `sdpa`: torch's scaled_dot_product_attention, with a mask over slots that are not
            filled; `flash`: torch's variable-length FlashAttention, which is told the lengths (GPU, 16 bit).
    """

    def __init__(self, text: Emu3TextModel, attention: str = "sdpa") -> None:
        self.text, self.attention = text, attention
        self.layers = [_Layer(layer) for layer in text.layers]
        first, weight = text.layers[0].self_attn, text.embed_tokens.weight
        self.head_dim: int = first.head_dim
        self.kv_heads = text.config.num_key_value_heads
        self.heads = text.config.num_attention_heads
        self.device, self.dtype = weight.device, weight.dtype

    @property
    def bytes_per_token(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * len(self.layers) * self.kv_heads * self.head_dim * self.dtype.itemsize

    def bytes_to_read(self, prompt_length: int) -> int:
        """Memory for reading `PROMPT_ROWS` prompts: what one layer holds at its widest."""
        config = self.text.config
        return (
            PROMPT_ROWS * prompt_length * (4 * config.intermediate_size + 8 * config.hidden_size) * self.dtype.itemsize
        )

    def new_cache(self, rows: int, capacity: int) -> Tensor:
        """(layers, 2, rows, capacity, kv_heads, head_dim): keys and values."""
        shape = (len(self.layers), 2, rows, capacity, self.kv_heads, self.head_dim)
        # Zeros: slots that are not filled are masked, but NaN times a weight of zero would still be NaN.
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def read(self, tokens: Tensor, lengths: Tensor, cache: Tensor) -> Tensor:
        """Reads prompts into an empty cache.

        Args:
            tokens: (rows, n) ids, padded on the right.
            lengths: (rows,) how many of them count.

        Returns:
            (rows, hidden): the last hidden state of each row's last token that counts.
        """
        n = tokens.shape[1]
        rotation = self._rotation(torch.arange(n, device=self.device)[None])
        hidden = []
        for start in range(0, len(tokens), PROMPT_ROWS):
            part = slice(start, start + PROMPT_ROWS)

            def attend(query: Tensor, new: Tensor, memory: Tensor, part: slice = part) -> Tensor:
                memory[:, part, :n] = new
                key, value = new.transpose(2, 3)
                seen = scaled_dot_product_attention(
                    query.transpose(1, 2), key, value, is_causal=True, enable_gqa=self.heads != self.kv_heads
                )
                return seen.transpose(1, 2)

            states = self._forward(tokens[part], rotation, cache, attend)
            last = (lengths[part] - 1)[:, None, None].expand(-1, 1, states.shape[-1])
            hidden.append(states.gather(1, last).squeeze(1))
        return self._norm(torch.cat(hidden), self.text.norm)

    def step(self, tokens: Tensor, filled: Tensor, cache: Tensor, read: int) -> Tensor:
        """Appends tokens to every row. Does not advance `filled`.

        Args:
            tokens: (rows, n) ids.
            filled: (rows,) how many slots are filled, before.
            read: slots that attention looks at, at least as many as the longest row will have filled.

        Returns:
            (rows, hidden): the last hidden state of the last token.
        """
        rows, n = tokens.shape
        slots = filled[:, None] + torch.arange(n, device=self.device)
        row = torch.arange(rows, device=self.device)[:, None]
        attend_filled = self._flash(slots, n) if self.attention == "flash" else self._masked(slots, read)

        def attend(query: Tensor, new: Tensor, memory: Tensor) -> Tensor:
            memory[:, row, slots] = new
            return attend_filled(query, memory)

        hidden = self._forward(tokens, self._rotation(slots), cache, attend)
        return self._norm(hidden[:, -1], self.text.norm)

    def _forward(self, tokens: Tensor, rotation: tuple[Tensor, Tensor], cache: Tensor, attend: Attend) -> Tensor:
        """(rows, n, hidden) of the last layer."""
        rows, n = tokens.shape
        hidden = self.text.embed_tokens(tokens)
        for layer, memory in zip(self.layers, cache, strict=True):
            joined = layer.query_key_value(self._norm(hidden, layer.before_attention))
            joined = joined.view(rows, n, -1, self.head_dim)
            turned = _rotate(joined[:, :, : self.heads + self.kv_heads], *rotation)
            query, key = turned.split([self.heads, self.kv_heads], dim=2)
            seen = attend(query, torch.stack([key, joined[:, :, self.heads + self.kv_heads :]]), memory)
            hidden = hidden + layer.output(seen.reshape(rows, n, -1))
            gate, up = layer.gate_up(self._norm(hidden, layer.before_mlp)).chunk(2, dim=-1)
            hidden = hidden + layer.down(layer.activation(gate) * up)
        return hidden

    def _masked(self, slots: Tensor, read: int) -> Callable[[Tensor, Tensor], Tensor]:
        """Attention over the first `read` slots. Query heads that share keys become rows of one head's query.

        So no key is repeated, in whichever kernel torch takes.
        """
        rows, n = slots.shape
        groups = self.heads // self.kv_heads
        visible = torch.arange(read, device=self.device) <= slots[:, :, None]
        mask = torch.zeros(visible.shape, dtype=self.dtype, device=self.device).masked_fill_(~visible, -torch.inf)
        mask = mask[:, None, :, None].expand(rows, 1, n, groups, read).reshape(rows, 1, n * groups, read)

        def attend(query: Tensor, memory: Tensor) -> Tensor:
            keys, values = memory[:, :, :read].transpose(2, 3)
            query = (
                query.view(rows, n, self.kv_heads, groups, -1)
                .transpose(1, 2)
                .reshape(rows, self.kv_heads, n * groups, -1)
            )
            seen = scaled_dot_product_attention(query, keys, values, attn_mask=mask)
            return seen.view(rows, self.kv_heads, n, groups, -1).transpose(1, 2)

        return attend

    def _flash(self, slots: Tensor, n: int) -> Callable[[Tensor, Tensor], Tensor]:
        """Attention by torch.nn.attention.varlen, over as many slots of each row as are filled."""
        from torch.nn.attention.varlen import varlen_attn

        rows = len(slots)
        starts = torch.arange(rows + 1, device=self.device, dtype=torch.int32)
        used = (slots[:, -1] + 1).to(torch.int32)

        def attend(query: Tensor, memory: Tensor) -> Tensor:
            capacity = memory.shape[2]
            keys, values = memory.flatten(1, 2)
            seen = varlen_attn(
                query.flatten(0, 1),
                keys,
                values,
                starts * n,
                starts * capacity,
                n,
                capacity,
                # Causal, aligned at the end. Where that says nothing, leaving it out lets the kernel pack query heads.
                window_size=(-1, -1) if n == 1 else (-1, 0),
                enable_gqa=self.heads != self.kv_heads,
                seqused_k=used,
            )
            assert isinstance(seen, Tensor)  # A pair only where more is asked for.
            return seen

        return attend

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines (rows, n, 1, head_dim) of rotary position embeddings (Su et al. 2021)."""
        cos, sin = self.text.rotary_emb(self.text.embed_tokens.weight, positions)
        half = self.head_dim // 2
        # rotate_half(x) * sin = swapped halves of x times sin with its first half negated.
        return cos.unsqueeze(2), torch.cat([-sin[..., :half], sin[..., half:]], -1).unsqueeze(2)

    @staticmethod
    def _norm(hidden: Tensor, norm: Emu3RMSNorm) -> Tensor:
        return rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


class _Layer:
    """One decoder layer: its norms, and its projections joined where they share an input."""

    def __init__(self, layer: Emu3DecoderLayer) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.before_attention, self.before_mlp = layer.input_layernorm, layer.post_attention_layernorm
        self.query_key_value = _join([attention.q_proj, attention.k_proj, attention.v_proj])
        self.output = _fast(attention.o_proj)
        self.gate_up = _join([mlp.gate_proj, mlp.up_proj])
        self.down, self.activation = _fast(mlp.down_proj), mlp.act_fn


def _join(projections: list[Linear]) -> Module:
    """One linear map in place of several over the same input; their weights become views of its own."""
    weight = torch.cat([projection.weight.detach() for projection in projections])
    biases = [projection.bias.detach() for projection in projections if projection.bias is not None]
    joined = Linear(weight.shape[1], weight.shape[0], bias=bool(biases), device="meta")
    joined.weight = Parameter(weight, requires_grad=False)
    if biases:
        joined.bias = Parameter(torch.cat(biases), requires_grad=False)
    start = 0
    for projection in projections:
        stop = start + projection.out_features
        projection.weight.data = joined.weight.data[start:stop]
        if biases:
            projection.bias.data = joined.bias.data[start:stop]
        start = stop
    return _fast(joined)


def _fast(projection: Linear) -> Module:
    """On a CPU, in float32: the same by oneDNN over weights that are packed once; 2 to 3 times faster than torch's default."""
    weight = projection.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return projection
    packed: Module = to_mkldnn(projection)
    return packed


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, -1), sin)
