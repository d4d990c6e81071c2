"""The Emu3 generator on the miniature: the recipe, images that belong to their seed alone."""

import json
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401

import numpy as np
import pytest
import scipy.stats
import torch
from conftest import MINIATURE
from safetensors.torch import load_file

from emudrift.config.generation_settings import SUFFIX
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.emu3.checkpoint import load_emu3
from emudrift.generation.emu3.generator import Emu3Generator, Emu3Weights
from emudrift.generation.emu3.sampling import image_uniforms, sample_top_k

BASE, ADAPTER = MINIATURE / "base", MINIATURE / "finetuned"
SETTINGS = {
    "width": 64,
    "height": 64,
    "dtype": "float32",
    "device": "cpu",
    "attention": "sdpa",
    "engine": "reference",
    "guidance_scale": 3.0,
    "top_k": 2048,
    "suffix": "",
    "negative_prompt": "",
}
CAPTIONS = [
    "a small red circle",
    "a large blue square left of a small yellow triangle on a grey background",
    "one large green triangle at the top, the background is black",
    "é",
    "a pink background with a small orange circle in the middle",
]
PROMPTS = [Prompt(i, f"{i:012d}", i, "", 64, 64, caption, 1000 + i) for i, caption in enumerate(CAPTIONS)]


def new_generator(adapter: Path | None = None, **changes: Any) -> Emu3Generator:
    """A generator of the miniature; `changes` are of the arm's settings."""
    settings = SETTINGS | changes
    return Emu3Generator(settings, Emu3Weights(settings, BASE, adapter))


@pytest.fixture(scope="module")
def generator() -> Emu3Generator:
    return new_generator()


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_tokens_equal_a_plain_loop_without_cache_batch_or_padding(scale):
    """An independent implementation: whole sequence forward per token, one image, guidance on the logits, inverse CDF."""
    generator = new_generator(guidance_scale=scale, top_k=20, suffix=" masterpiece", negative_prompt="blurry")
    model, tokenizer = generator.weights.model, generator.recipe.processor.tokenizer
    visual = [tokenizer.convert_tokens_to_ids(f"<|visual token {i:06d}|>") for i in range(256)]
    eol = tokenizer.convert_tokens_to_ids("<|extra_200|>")
    header = "<|image start|>8*8<|image token|>"

    def start(text):
        return tokenizer(f"<|extra_203|>{text}{header}", add_special_tokens=False)["input_ids"]

    def logits(sequence):
        with torch.inference_mode():
            return model(input_ids=torch.tensor([sequence])).logits[0, -1].double()[visual].numpy()

    prompt = PROMPTS[1]
    positive, negative, drawn = start(prompt.caption + " masterpiece"), start("blurry"), []
    uniforms = np.random.Generator(np.random.Philox(key=prompt.seed)).random(64)
    for place in range(64):
        guided = logits(positive)
        if scale != 1:
            unconditional = logits(negative)
            guided = unconditional + scale * (guided - unconditional)
        best = np.argsort(-guided, kind="stable")[:20]
        weights = np.exp(guided[best] - guided[best].max())
        cumulative = np.cumsum(weights) / weights.sum()
        code = int(best[np.searchsorted(cumulative, uniforms[place], side="right")])
        drawn.append(code)
        for sequence in (positive, negative):
            sequence.append(visual[code])
            if place % 8 == 7:
                sequence.append(eol)
    together = generator.codes(PROMPTS)
    assert together[1].flatten().tolist() == drawn


def test_an_image_does_not_depend_on_its_batch(generator):
    tokens = generator.codes(PROMPTS)
    images = generator.decode(tokens)
    for order in ([4, 2, 0], [3], [1, 3]):
        some = generator.codes([PROMPTS[i] for i in order])
        np.testing.assert_array_equal(some, tokens[order])
        np.testing.assert_array_equal(generator.decode(some), images[order])
    assert images.shape == (5, 64, 64, 3)
    assert tokens.shape == (5, 8, 8)


def test_seed_caption_guidance_and_adapter_each_change_the_image(generator):
    prompt = PROMPTS[1]
    first = generator.codes([prompt])
    others = {
        "seed": generator.codes([Prompt(**(vars(prompt) | {"seed": 5}))]),
        "caption": generator.codes([Prompt(**(vars(prompt) | {"caption": CAPTIONS[2]}))]),
        "guidance": new_generator(guidance_scale=1.0).codes([prompt]),
        "adapter": new_generator(ADAPTER).codes([prompt]),
    }
    assert {name: np.array_equal(first, other) for name, other in others.items()} == dict.fromkeys(others, False)
    assert np.array_equal(first, generator.codes([prompt]))


def test_both_prompts_end_in_the_image_header_and_the_suffix_follows_the_caption():
    generator = new_generator(suffix=SUFFIX, negative_prompt="lowres")
    recipe, header = generator.recipe, "<|image start|>8*8<|image token|>"
    decode = recipe.processor.tokenizer.decode
    positive, negative = recipe.positive(CAPTIONS[:2]), recipe.negative(2)
    assert decode(positive["input_ids"][1]) == f"<|extra_203|>{CAPTIONS[1]}{SUFFIX}{header}"
    assert decode(positive["input_ids"][0]).endswith(f"<|extra_203|>{CAPTIONS[0]}{SUFFIX}{header}")
    assert decode(negative["input_ids"][0]) == f"<|extra_203|>lowres{header}"
    assert positive["attention_mask"][0, 0] == 0, "padding must be on the left"


def test_a_size_of_another_shape_draws_another_grid():
    generator = new_generator(width=80, height=48)
    tokens = generator.codes(PROMPTS[:1])
    assert tokens.shape == (1, 6, 10)
    assert generator.decode(tokens).shape == (1, 48, 80, 3)


@pytest.mark.parametrize(
    ("width", "height"), [(512, 512), (720, 720), (512, 768), (768, 512), (960, 544), (1280, 720), (8, 64)]
)
def test_the_header_asks_for_the_grid_of_the_size(width, height):
    """transformers' processor works the grid out from a ratio and an area; 720 x 720 are 8,193 new tokens."""
    recipe = new_generator(width=width, height=height).recipe
    (ids,) = recipe.positive(["a"])["input_ids"]
    assert recipe.processor.tokenizer.decode(ids).endswith(f"<|image start|>{height // 8}*{width // 8}<|image token|>")
    assert recipe.new_tokens == (height // 8) * (width // 8 + 1) + 3
    assert (width != 720) or recipe.new_tokens == 8193


def test_a_token_out_of_place_is_never_decoded(generator):
    recipe, ids = generator.recipe, generator.recipe.structure
    good = torch.full((1, recipe.new_tokens), ids.first_visual)
    good[0, 8:-3:9] = ids.eol
    good[0, -3:] = torch.tensor([ids.eof, ids.eoi, ids.eos])
    assert generator.engine.codes_of(good).shape == (1, 8, 8)
    for place, token in ((3, ids.eol), (0, ids.first_visual - 1), (8, ids.first_visual), (-1, ids.first_visual)):
        bad = good.clone()
        bad[0, place] = token
        with pytest.raises(RuntimeError, match="left the token grid"):
            generator.engine.codes_of(bad)


def test_sampling_follows_the_softmax_over_the_top_k():
    logits = torch.tensor([[2.0, -1.0, 0.5, 1.0, -3.0, 0.0]]).repeat(20000, 1)
    uniforms = torch.from_numpy(image_uniforms(3, 20000))
    counts = np.bincount(sample_top_k(logits, uniforms, 4).numpy(), minlength=6)
    kept = np.exp([2.0, 0.5, 1.0, 0.0])
    assert counts[[1, 4]].tolist() == [0, 0]
    assert scipy.stats.chisquare(counts[[0, 2, 3, 5]], kept / kept.sum() * 20000).pvalue > 1e-3
    ends = sample_top_k(logits[:2], torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64), 4)
    assert ends.tolist() == [0, 5]


def test_the_random_numbers_of_an_image_are_its_own():
    assert np.array_equal(image_uniforms(2**64 - 1, 10), image_uniforms(2**64 - 1, 20)[:10])
    assert abs(np.corrcoef(image_uniforms(1, 5000), image_uniforms(2, 5000))[0, 1]) < 0.05


def test_sixteen_bit_weights_keep_the_vq_in_float32():
    whole = load_emu3(BASE, None, torch.float32, "sdpa", torch.device("cpu")).model.vqmodel.state_dict()
    half = load_emu3(BASE, None, torch.bfloat16, "sdpa", torch.device("cpu"))
    assert half.lm_head.weight.dtype == torch.bfloat16
    for name, tensor in half.model.vqmodel.state_dict().items():
        assert torch.equal(tensor, whole[name]), name


def test_the_merged_adapter_equals_the_formula_of_lora():
    merged = load_emu3(BASE, ADAPTER, torch.float32, "sdpa", torch.device("cpu")).state_dict()
    base = load_emu3(BASE, None, torch.float32, "sdpa", torch.device("cpu")).state_dict()
    config = json.loads((ADAPTER / "adapter_config.json").read_text())
    factors = load_file(ADAPTER / "adapter_model.safetensors")
    changed = set()
    for name, a in factors.items():
        if name.endswith("lora_A.weight"):
            weight = name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
            b = factors[name.replace("lora_A", "lora_B")].float()
            expected = base[weight] + config["lora_alpha"] / config["r"] * b @ a.float()
            torch.testing.assert_close(merged[weight], expected, rtol=1e-5, atol=1e-5)
            changed.add(weight)
    assert changed == {name for name in base if not torch.equal(base[name], merged[name])}
    assert not [name for name in changed if "vqmodel" in name]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_never_replaced_by_the_cpu():
    with pytest.raises(InputError, match="torch sees no GPU; set device: cpu"):
        new_generator(device="cuda")
