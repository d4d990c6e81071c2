"""Emu3's language model (a Llama architecture), implemented on transformers' weights with a KV cache of fixed shape.

Every row of the cache is filled from position 0 on, whatever the length of its prompt: there is no padding between the prompt
and the generated tokens, and one length per row describes the state of the cache.
"""

import copy
from collections.abc import Callable

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter
from torch.nn.functional import rms_norm, scaled_dot_product_attention
from torch.utils.mkldnn import to_mkldnn
from transformers import Emu3TextModel
from transformers.models.emu3.modeling_emu3 import Emu3DecoderLayer, Emu3RMSNorm

from emudrift.generation.emu3.attention import KERNELS
from emudrift.generation.emu3.memory import PREFILL_ROWS, ModelShape

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(query, new keys and values, the layer's cache) to the attention output; also writes the new keys and values to the cache."""


class LanguageModel:
    """The layers of `Emu3TextModel`, with projections that share an input fused into one.

    The fused weights replace the model's own, which become views of them: this adds no memory (except for packed copies on a
    CPU), and the model itself remains usable.

    Args:
        attention: kernel for attention over the cache, `sdpa` or `flash` (see `attention`).
    """

    def __init__(self, text: Emu3TextModel, attention: str = "sdpa") -> None:
        self.text, self.attention = text, attention
        self.layers = [_Layer(layer) for layer in text.layers]
        first, weight = text.layers[0].self_attn, text.embed_tokens.weight
        self.head_dim: int = first.head_dim
        self.kv_heads = text.config.num_key_value_heads
        self.heads = text.config.num_attention_heads
        self.device, self.dtype = weight.device, weight.dtype

    def using(self, attention: str) -> "LanguageModel":
        """The same weights with another kernel for attention."""
        other = copy.copy(self)
        other.attention = attention
        return other

    def shape(self, n_visual: int) -> ModelShape:
        """What decides the memory that generation needs."""
        config = self.text.config
        return ModelShape(
            layers=len(self.layers),
            hidden=config.hidden_size,
            intermediate=config.intermediate_size,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            n_visual=n_visual,
            itemsize=self.dtype.itemsize,
        )

    def new_cache(self, rows: int, capacity: int) -> Tensor:
        """An empty KV cache: (layers, 2, rows, capacity, kv_heads, head_dim), keys and values."""
        shape = (len(self.layers), 2, rows, capacity, self.kv_heads, self.head_dim)
        # Zeros, because unfilled positions get attention weight 0, and 0 times NaN would still be NaN.
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def prefill(self, tokens: Tensor, lengths: Tensor, cache: Tensor) -> Tensor:
        """Runs the prompts through the model and fills an empty cache.

        Args:
            tokens: (rows, n) ids, right-padded.
            lengths: (rows,) numbers of tokens without padding.

        Returns:
            (rows, hidden): the last hidden state of each row's last token.
        """
        n = tokens.shape[1]
        rotation = self._rotation(torch.arange(n, device=self.device)[None])
        hidden = []
        for start in range(0, len(tokens), PREFILL_ROWS):
            part = slice(start, start + PREFILL_ROWS)

            def attend(query: Tensor, new: Tensor, layer_cache: Tensor, part: slice = part) -> Tensor:
                layer_cache[:, part, :n] = new
                key, value = new.transpose(2, 3)
                attended = scaled_dot_product_attention(
                    query.transpose(1, 2), key, value, is_causal=True, enable_gqa=self.heads != self.kv_heads
                )
                return attended.transpose(1, 2)

            states = self._forward(tokens[part], rotation, cache, attend)
            last = (lengths[part] - 1)[:, None, None].expand(-1, 1, states.shape[-1])
            hidden.append(states.gather(1, last).squeeze(1))
        return self._norm(torch.cat(hidden), self.text.norm)

    def step(self, tokens: Tensor, cache_lengths: Tensor, cache: Tensor, kv_length: int) -> Tensor:
        """Decodes one step: appends n tokens to every row. Does not update `cache_lengths`.

        Args:
            tokens: (rows, n) ids.
            cache_lengths: (rows,) number of filled positions, before this step.
            kv_length: positions that attention covers; at least the length of the longest row after this step.

        Returns:
            (rows, hidden): the last hidden state of the last token.
        """
        rows, n = tokens.shape
        positions = cache_lengths[:, None] + torch.arange(n, device=self.device)
        row = torch.arange(rows, device=self.device)[:, None]
        attend_cached = KERNELS[self.attention](positions, kv_length, self.heads // self.kv_heads, self.dtype)

        def attend(query: Tensor, new: Tensor, layer_cache: Tensor) -> Tensor:
            layer_cache[:, row, positions] = new
            return attend_cached(query, layer_cache)

        hidden = self._forward(tokens, self._rotation(positions), cache, attend)
        return self._norm(hidden[:, -1], self.text.norm)

    def _forward(self, tokens: Tensor, rotation: tuple[Tensor, Tensor], cache: Tensor, attend: Attend) -> Tensor:
        """The output of the last layer, (rows, n, hidden), before the final norm."""
        rows, n = tokens.shape
        hidden = self.text.embed_tokens(tokens)
        for layer, layer_cache in zip(self.layers, cache, strict=True):
            joined = layer.query_key_value(self._norm(hidden, layer.attention_norm))
            joined = joined.view(rows, n, -1, self.head_dim)
            rotated = _rotate(joined[:, :, : self.heads + self.kv_heads], *rotation)
            query, key = rotated.split([self.heads, self.kv_heads], dim=2)
            attended = attend(query, torch.stack([key, joined[:, :, self.heads + self.kv_heads :]]), layer_cache)
            hidden = hidden + layer.output(attended.reshape(rows, n, -1))
            gate, up = layer.gate_up(self._norm(hidden, layer.mlp_norm)).chunk(2, dim=-1)
            hidden = hidden + layer.down(layer.activation(gate) * up)
        return hidden

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines (rows, n, 1, head_dim) of rotary position embeddings (Su et al. 2021)."""
        cos, sin = self.text.rotary_emb(self.text.embed_tokens.weight, positions)
        half = self.head_dim // 2
        # rotate_half(x) * sin equals x with its halves swapped, times sin with its first half negated.
        return cos.unsqueeze(2), torch.cat([-sin[..., :half], sin[..., half:]], -1).unsqueeze(2)

    @staticmethod
    def _norm(hidden: Tensor, norm: Emu3RMSNorm) -> Tensor:
        return rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


class _Layer:
    """One decoder layer: its norms and projections, fused where they share an input."""

    def __init__(self, layer: Emu3DecoderLayer) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.attention_norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.query_key_value = _join([attention.q_proj, attention.k_proj, attention.v_proj])
        self.output = _fast(attention.o_proj)
        self.gate_up = _join([mlp.gate_proj, mlp.up_proj])
        self.down, self.activation = _fast(mlp.down_proj), mlp.act_fn


def _join(projections: list[Linear]) -> Module:
    """Fuses linear layers with the same input into one; the original weights become views of the fused weight."""
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
    """On a CPU in float32: the same layer in oneDNN with prepacked weights, 2 to 3 times faster than torch's default."""
    weight = projection.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return projection
    packed: Module = to_mkldnn(projection)
    return packed


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, -1), sin)
