"""Emu3's language model (a Llama architecture), implemented on transformers' weights with a KV cache of fixed shape.

Every row of the cache is filled from position 0 on, whatever the length of its prompt: there is no padding between the prompt
and the generated tokens, and one length per row describes the state of the cache.
"""

import copy
from collections.abc import Callable

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, scaled_dot_product_attention
from transformers import Emu3TextModel
from transformers.models.emu3.modeling_emu3 import Emu3DecoderLayer, Emu3RMSNorm

from emudrift.errors import InputError
from emudrift.generation.emu3.attention import KERNELS
from emudrift.generation.emu3.elementwise import elementwise_for
from emudrift.generation.emu3.memory import PREFILL_ROWS, ModelShape
from emudrift.generation.emu3.projections import Projection

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(query, new keys and values, the layer's cache) to the attention output; also writes the new keys and values to the cache."""


class LanguageModel:
    """The layers of `Emu3TextModel`, with projections that share an input fused into one.

    The fused weights replace the model's own, which become views of them: this adds no memory (except for packed copies on a
    CPU), and the model itself remains usable.

    Args:
        attention: kernel for attention over the cache, `sdpa` or `flash` (see `attention`).

    Raises:
        InputError: the model has another activation function than Emu3.
    """

    def __init__(self, text: Emu3TextModel, attention: str = "sdpa") -> None:
        if text.config.hidden_act != "silu":
            raise InputError(f"the model's config.json: hidden_act is {text.config.hidden_act!r}, but Emu3's is 'silu'")
        self.text, self.attention = text, attention
        self.layers = [_Layer(layer) for layer in text.layers]
        first, weight = text.layers[0].self_attn, text.embed_tokens.weight
        self.head_dim: int = first.head_dim
        self.kv_heads = text.config.num_key_value_heads
        self.heads = text.config.num_attention_heads
        self.device, self.dtype = weight.device, weight.dtype
        self.elementwise = elementwise_for(self.device, self.dtype)
        self.rotation = self._rotation(text.config.max_position_embeddings)

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

    def prefill(self, tokens: Tensor, lengths: Tensor, cache: Tensor, rows_at_once: int = PREFILL_ROWS) -> Tensor:
        """Runs the prompts through the model and fills an empty cache.

        Args:
            tokens: (rows, n) ids, right-padded.
            lengths: (rows,) numbers of tokens without padding.
            rows_at_once: in one step; bounds its memory.

        Returns:
            (rows, hidden): the last hidden state of each row's last token.
        """
        n = tokens.shape[1]
        positions = torch.arange(n, device=self.device)[None]
        hidden = []
        for start in range(0, len(tokens), rows_at_once):
            part = slice(start, start + rows_at_once)

            def attend(query: Tensor, new: Tensor, layer_cache: Tensor, part: slice = part) -> Tensor:
                layer_cache[:, part, :n] = new
                key, value = new.transpose(2, 3)
                attended = scaled_dot_product_attention(
                    query.transpose(1, 2), key, value, is_causal=True, enable_gqa=self.heads != self.kv_heads
                )
                return attended.transpose(1, 2)

            states = self._forward(tokens[part], positions, cache, attend)
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

        hidden = self._forward(tokens, positions, cache, attend)
        return self._norm(hidden[:, -1], self.text.norm)

    def _forward(self, tokens: Tensor, positions: Tensor, cache: Tensor, attend: Attend) -> Tensor:
        """The output of the last layer, (rows, n, hidden), before the final norm."""
        rotation = self.rotation[positions].unbind(2)
        hidden = self.text.embed_tokens(tokens)
        for layer, layer_cache in zip(self.layers, cache, strict=True):
            hidden = self._attention_block(layer, hidden, rotation, attend, layer_cache)
            hidden = self._mlp_block(layer, hidden)
        return hidden

    def _attention_block(
        self, layer: "_Layer", hidden: Tensor, rotation: tuple[Tensor, ...], attend: Attend, layer_cache: Tensor
    ) -> Tensor:
        rows, n, _ = hidden.shape
        joined = layer.query_key_value(self._norm(hidden, layer.attention_norm))
        low, high = joined.view(rows, n, -1, self.kv_heads, 2, self.head_dim // 2).split(1, dim=4)
        rotated = self.elementwise.rotate(low, high, *rotation).view(rows, n, -1, self.head_dim)
        query, new = rotated.split([self.heads, 2 * self.kv_heads], dim=2)
        attended = attend(query, new.unflatten(2, (2, self.kv_heads)).permute(2, 0, 1, 3, 4), layer_cache)
        return layer.output.added_to(hidden, attended.reshape(rows, n, -1))

    def _mlp_block(self, layer: "_Layer", hidden: Tensor) -> Tensor:
        gate_up = layer.gate_up(self._norm(hidden, layer.mlp_norm))
        return layer.down.added_to(hidden, self.elementwise.swiglu(gate_up))

    def _rotation(self, positions: int) -> Tensor:
        """Rotary position embeddings (Su et al. 2021) as factors of the halves of a head, for all positions.

        A head [x, y] becomes [x cos - y sin, y cos + x sin]: its first half times [cos, sin], plus its second half times
        [-sin, cos]. Values are not rotated: theirs are [1, 0] and [0, 1], so that queries, keys and values are one tensor.

        Returns:
            (positions, 2 factors, groups of `kv_heads` heads, 1, 2 halves, head_dim / 2).
        """
        cos, sin = self.text.rotary_emb(
            self.text.embed_tokens.weight, torch.arange(positions, device=self.device)[None]
        )
        cos, sin = (each[0, :, : self.head_dim // 2] for each in (cos, sin))
        one, zero = torch.ones_like(cos), torch.zeros_like(cos)
        rotated = torch.stack([cos, sin, -sin, cos], 1).unflatten(1, (2, 1, 2))
        values = torch.stack([one, zero, zero, one], 1).unflatten(1, (2, 1, 2))
        return torch.cat([rotated] * (self.heads // self.kv_heads + 1) + [values], 2).unsqueeze(3)

    @staticmethod
    def _norm(hidden: Tensor, norm: Emu3RMSNorm) -> Tensor:
        return rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


class _Layer:
    """One decoder layer: its norms and projections, fused where they share an input."""

    def __init__(self, layer: Emu3DecoderLayer) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.attention_norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.query_key_value = Projection(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = Projection(attention.o_proj)
        self.gate_up = Projection(mlp.gate_proj, mlp.up_proj)
        self.down = Projection(mlp.down_proj)
