"""The grid engine: both halves of guidance in one batch, only visual tokens scored, only the filled cache read.

The token grid is known in advance, so all images of a batch have one length: no end-of-sequence test, no padding at the end,
no prefix function. The language model of Emu3 is Llama's, so a step is written out here over the model's own modules; the
cache is allocated once and attention sees a view of what is filled, without repeated key-value heads.
Its tokens equal those of `ReferenceEngine` (tests/test_engine.py).
"""

import emudrift.torchvision_mend  # noqa: F401  (before transformers)

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import Emu3ForConditionalGeneration, Emu3TextModel
from transformers.models.emu3.modeling_emu3 import apply_rotary_pos_emb

from emudrift.generators.emu3.recipe import Recipe
from emudrift.generators.emu3.sampling import image_uniforms, sample_top_k


class GridEngine:
    """Draws visual tokens, one forward per token for a whole batch. Same interface as `ReferenceEngine`.

    Args:
        prompt_length: pad prompts to at least this many tokens; in 16 bit the padding moves roundings.
    """

    def __init__(self, model: Emu3ForConditionalGeneration, recipe: Recipe, prompt_length: int = 0) -> None:
        self.prompt_length = prompt_length
        self.recipe, self.text = recipe, model.model.text_model
        ids = recipe.structure
        # A view: logits are computed for the visual vocabulary alone.
        self.head = model.lm_head.weight[ids.first_visual : ids.first_visual + ids.n_visual]

    @torch.inference_mode()
    def codes(self, captions: list[str], seeds: list[int]) -> Tensor:
        """Draws one image per caption.

        Args:
            captions: without the suffix.
            seeds: one per caption; an image's tokens depend on its caption and seed alone.

        Returns:
            (batch, h, w) int64 codes of the codebook.
        """
        recipe, ids, batch = self.recipe, self.recipe.structure, len(captions)
        tokens, attended = self._prompts(captions)
        places = recipe.h * recipe.w
        uniforms = torch.from_numpy(np.stack([image_uniforms(seed, places) for seed in seeds])).to(tokens.device)
        state = _State(self.text, attended, recipe.h * (recipe.w + 1))
        drawn = torch.empty(batch, places, dtype=torch.long, device=tokens.device)
        end_of_line = torch.full((batch, 1), ids.eol, device=tokens.device)
        for place in range(places):
            logits = linear(state.forward(tokens), self.head).float()
            if recipe.guidance_scale != 1:
                conditional, unconditional = logits[:batch], logits[batch:]
                logits = unconditional + recipe.guidance_scale * (conditional - unconditional)
            drawn[:, place] = sample_top_k(logits, uniforms[:, place], recipe.top_k)
            tokens = drawn[:, place : place + 1] + ids.first_visual
            if (place + 1) % recipe.w == 0:
                # The end of a line is written, not drawn: it goes through the model together with the token before it.
                tokens = torch.cat([tokens, end_of_line], 1)
            if recipe.guidance_scale != 1:
                tokens = tokens.repeat(2, 1)
        return drawn.view(batch, recipe.h, recipe.w)

    def _prompts(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Token ids and attention mask (rows, length), left-padded; with guidance the negative prompts stand below."""
        inputs = [self.recipe.positive(captions)]
        if self.recipe.guidance_scale != 1:
            inputs.append(self.recipe.negative(len(captions)))
        length = max(self.prompt_length, *(each["input_ids"].shape[1] for each in inputs))
        pad = self.recipe.structure.pad
        tokens = [_pad_left(each["input_ids"], length, pad) for each in inputs]
        attended = [_pad_left(each["attention_mask"], length, 0) for each in inputs]
        return torch.cat(tokens), torch.cat(attended).bool()


class _State:
    """Keys and values of a batch of growing sequences, and the step that makes them grow.

    Args:
        attended: (rows, length) which prompt tokens are real.
        new: how many tokens will follow the prompt.
    """

    def __init__(self, text: Emu3TextModel, attended: Tensor, new: int) -> None:
        self.text, self.filled = text, 0
        rows, length = attended.shape
        total, config = length + new, text.config
        first = text.layers[0].self_attn
        heads = config.num_key_value_heads
        weight = first.k_proj.weight
        shape = (rows, heads, total, first.head_dim)
        self.keys = [weight.new_empty(shape) for _ in text.layers]
        self.values = [weight.new_empty(shape) for _ in text.layers]
        self.visible = torch.cat([attended, attended.new_ones(rows, new)], 1)
        # Positions count real tokens only, so padding on the left moves nothing.
        positions = (self.visible.cumsum(1) - 1).clamp(min=0)
        self.cos, self.sin = text.rotary_emb(weight.new_empty(0), positions)
        self.padded = not bool(attended.all())

    def forward(self, tokens: Tensor) -> Tensor:
        """Appends tokens (rows, n) and returns the last hidden state (rows, hidden)."""
        rows, n = tokens.shape
        start, end = self.filled, self.filled + n
        mask = self._mask(start, end)
        cos, sin = self.cos[:, start:end], self.sin[:, start:end]
        hidden = self.text.embed_tokens(tokens)
        for layer, keys, values in zip(self.text.layers, self.keys, self.values, strict=True):
            attention, normed = layer.self_attn, layer.input_layernorm(hidden)
            query, key, value = (
                projection(normed).view(rows, n, -1, attention.head_dim).transpose(1, 2)
                for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            query, keys[:, :, start:end] = apply_rotary_pos_emb(query, key, cos, sin)
            values[:, :, start:end] = value
            seen = scaled_dot_product_attention(
                query, keys[:, :, :end], values[:, :, :end], attn_mask=mask, enable_gqa=True
            )
            hidden = hidden + attention.o_proj(seen.transpose(1, 2).reshape(rows, n, -1))
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        self.filled = end
        return self.text.norm(hidden[:, -1])

    def _mask(self, start: int, end: int) -> Tensor | None:
        """(rows, 1, n, end): which keys each new token sees; None where it sees all."""
        n = end - start
        if n == 1 and not self.padded:
            return None
        visible = self.visible[:, None, None, :end]
        if n == 1:
            return visible
        new = torch.arange(start, end, device=visible.device)[:, None]
        old = torch.arange(end, device=visible.device)[None]
        # A padding token sees itself: a row of nothing would make NaN of the softmax.
        return (visible & (old <= new)) | (old == new)


def _pad_left(rows: Tensor, length: int, value: int) -> Tensor:
    return torch.nn.functional.pad(rows, (length - rows.shape[1], 0), value=value)
