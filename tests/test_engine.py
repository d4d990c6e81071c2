"""The grid engine draws the tokens of the reference engine."""

import pytest
import torch
from test_emu3 import ADAPTER, BASE, CAPTIONS, PROMPTS, SETTINGS

from emudrift.generators.emu3 import Emu3Generator
from emudrift.prompts import Prompt

LONG = "there is a small purple square above a large yellow circle in a white picture, said at some length"
SEVERAL = [*PROMPTS, Prompt(5, "5", 5, "", 64, 64, LONG, 77)]


def codes(prompts, **changes) -> torch.Tensor:
    return Emu3Generator(SETTINGS | changes, BASE, ADAPTER if changes.get("adapter") else None).codes(prompts)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("top_k", [1, 2048], ids=["greedy", "sampled"])
def test_tokens_equal_the_reference_for_prompts_of_different_lengths(scale, top_k):
    settings = {"guidance_scale": scale, "top_k": top_k, "negative_prompt": "blurry, lowres"}
    assert len({len(caption) for caption in CAPTIONS}) > 2
    reference = codes(SEVERAL, engine="reference", **settings)
    assert torch.equal(codes(SEVERAL, engine="grid", **settings), reference)
    assert len({tuple(image.flatten().tolist()) for image in reference}) == len(SEVERAL)


def test_another_shape_and_a_merged_adapter_equal_the_reference_too():
    settings = {"width": 80, "height": 48, "adapter": True}
    drawn = codes(SEVERAL[:3], engine="grid", **settings)
    assert drawn.shape == (3, 6, 10)
    assert torch.equal(drawn, codes(SEVERAL[:3], engine="reference", **settings))
    assert not torch.equal(drawn, codes(SEVERAL[:3], engine="grid", width=80, height=48))


def test_an_image_is_the_same_alone_in_a_batch_of_eight_and_in_another_order():
    generator = Emu3Generator(SETTINGS | {"engine": "grid"}, BASE, None)
    eight = [Prompt(i, str(i), i, "", 64, 64, CAPTIONS[i % 5], i) for i in range(8)]
    together = generator.codes(eight)
    for order in ([5], [7, 0, 3], list(range(7, -1, -1))):
        assert torch.equal(generator.codes([eight[i] for i in order]), together[order])


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_in_sixteen_bit_a_fixed_batch_and_padding_make_images_independent_of_their_neighbours(scale):
    settings = SETTINGS | {"engine": "grid", "dtype": "bfloat16", "guidance_scale": scale}
    captions = [prompt.caption for prompt in SEVERAL]
    generator = Emu3Generator(settings, BASE, None, 4, captions)
    first = generator.codes(SEVERAL[:4])
    assert torch.equal(generator.codes(SEVERAL[1:3]), first[1:3])
    assert torch.equal(generator.codes([SEVERAL[3], SEVERAL[5], SEVERAL[0]])[[2, 0]], first[[0, 3]])
    assert generator.recipe.longest(captions) == generator.recipe.positive(captions)["input_ids"].shape[1]
