"""The reference engine: transformers' own `generate`, used as documented. Slow but simple; the standard for other engines."""

from collections.abc import Callable

import emudrift.runtime.torchvision_fix  # noqa: F401  (before transformers)

import numpy as np
import torch
from transformers import Emu3ForConditionalGeneration, LogitsProcessor, LogitsProcessorList

from emudrift.generation.emu3.recipe import Recipe
from emudrift.generation.emu3.sampling import image_uniforms, sample_top_k


class SampleByImage(LogitsProcessor):
    """Samples each row's next token with the image's own random numbers and masks all other tokens.

    `generate` then picks it greedily, so that the global random state is not used.

    Args:
        prompt_length: padded length of the prompts.
        uniforms: (batch, h * w) float64.
        top_k: see `sample_top_k`.
        width: visual tokens per line.

    Attributes:
        broken: (batch,) whether an image's logits were not finite.
    """

    def __init__(self, prompt_length: int, uniforms: torch.Tensor, top_k: int, width: int) -> None:
        self.prompt_length, self.uniforms, self.top_k, self.width = prompt_length, uniforms, top_k, width
        self.broken = torch.zeros(len(uniforms), dtype=torch.bool, device=uniforms.device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        row, column = divmod(input_ids.shape[1] - self.prompt_length, self.width + 1)
        index = row * self.width + column
        if column == self.width or index >= self.uniforms.shape[1]:
            return scores  # A structure token, the only one that the grid allows here.
        token = sample_top_k(scores.float(), self.uniforms[:, index], self.top_k)
        self.broken |= token < 0
        return torch.full_like(scores, -torch.inf).scatter_(1, token.clamp(min=0).unsqueeze(1), 0.0)


class ReferenceEngine:
    """Samples visual tokens with `generate`: guidance as a second forward pass, the token grid as a prefix function."""

    def __init__(self, model: Emu3ForConditionalGeneration, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe

    @torch.inference_mode()
    def codes(self, captions: list[str], seeds: list[int]) -> torch.Tensor:
        """Samples the visual tokens of one image per caption.

        Args:
            captions: without the suffix.
            seeds: one per caption; an image's tokens depend on its caption and seed only.

        Returns:
            (batch, h, w) int64 codebook indices; -1 for an image whose logits were not finite.
        """
        recipe = self.recipe
        inputs = recipe.positive(captions)
        prompt_length = inputs["input_ids"].shape[1]
        uniforms = np.stack([image_uniforms(seed, recipe.h * recipe.w) for seed in seeds])
        sampler = SampleByImage(prompt_length, torch.from_numpy(uniforms).to(self.model.device), recipe.top_k, recipe.w)
        guidance = {}
        if recipe.guidance_scale != 1:
            negative = recipe.negative(len(captions))
            guidance = {
                "guidance_scale": recipe.guidance_scale,
                "negative_prompt_ids": negative["input_ids"],
                "negative_prompt_attention_mask": negative["attention_mask"],
            }
        output = self.model.generate(
            **inputs,
            **guidance,
            do_sample=False,
            max_new_tokens=recipe.new_tokens,
            prefix_allowed_tokens_fn=self.grid(prompt_length),
            logits_processor=LogitsProcessorList([sampler]),
        )
        whole = ~sampler.broken
        codes = torch.full((len(captions), recipe.h, recipe.w), -1, device=output.device)
        codes[whole] = self.codes_of(output[whole, prompt_length:])
        return codes

    def grid(self, prompt_length: int) -> Callable[[int, torch.Tensor], list[int]]:
        """The prefix function of the token grid: the allowed tokens, which depend on the position only."""
        recipe, ids = self.recipe, self.recipe.structure
        visual = list(range(ids.first_visual, ids.first_visual + ids.n_visual))
        tail = [[ids.eof], [ids.eoi], [ids.eos]]
        grid = recipe.h * (recipe.w + 1)

        def allowed(_: int, tokens: torch.Tensor) -> list[int]:
            place = tokens.shape[0] - prompt_length
            if place >= grid:
                return tail[place - grid]
            return [ids.eol] if place % (recipe.w + 1) == recipe.w else visual

        return allowed

    def codes_of(self, new: torch.Tensor) -> torch.Tensor:
        """Extracts the codes from the token grid and verifies that every structure token is at its position."""
        recipe, ids = self.recipe, self.recipe.structure
        lines = new[:, :-3].view(len(new), recipe.h, recipe.w + 1)
        tail = torch.tensor([ids.eof, ids.eoi, ids.eos], device=new.device)
        codes = lines[..., :-1] - ids.first_visual
        whole = (lines[..., -1] == ids.eol).all() and (new[:, -3:] == tail).all()
        # transformers' decode_image_tokens would silently turn a stray text token into code 0.
        if not (whole and ((codes >= 0) & (codes < ids.n_visual)).all()):
            raise RuntimeError("generate left the token grid: a structure token is missing or a text token was sampled")
        return codes
