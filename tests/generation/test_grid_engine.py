"""The grid engine draws the tokens of the reference engine, whatever is drawn together and however the cache is read."""

import numpy as np
import pytest
import scipy.stats
import torch
from test_attention import documented_varlen
from test_emu3 import ADAPTER, BASE, CAPTIONS, PROMPTS, SETTINGS, new_generator

from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.emu3 import attention, language_model
from emudrift.generation.emu3.generator import Emu3Weights
from emudrift.generation.emu3.grid_engine import GridEngine
from emudrift.generation.emu3.sampling import sample_top_k
from emudrift.generation.interface import Batching

LONG = "there is a small purple square above a large yellow circle in a white picture, said at some length"
SEVERAL = [*PROMPTS, Prompt(5, "5", 5, "", 64, 64, LONG, 77)]


def codes(prompts, **changes) -> np.ndarray:
    return new_generator(**changes).codes(prompts)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("top_k", [1, 2048], ids=["greedy", "sampled"])
def test_tokens_equal_the_reference_for_prompts_of_different_lengths(scale, top_k):
    settings = {"guidance_scale": scale, "top_k": top_k, "negative_prompt": "blurry, lowres"}
    assert len({len(caption) for caption in CAPTIONS}) > 2
    reference = codes(SEVERAL, engine="reference", **settings)
    np.testing.assert_array_equal(codes(SEVERAL, engine="grid", **settings), reference)
    assert len({tuple(image.flatten()) for image in reference}) == len(SEVERAL)


def test_another_shape_and_a_merged_adapter_equal_the_reference_too():
    settings = {"width": 80, "height": 48}
    drawn = codes(SEVERAL[:3], adapter=ADAPTER, engine="grid", **settings)
    assert drawn.shape == (3, 6, 10)
    np.testing.assert_array_equal(drawn, codes(SEVERAL[:3], adapter=ADAPTER, engine="reference", **settings))
    assert not np.array_equal(drawn, codes(SEVERAL[:3], engine="grid", **settings)), "the adapter changes nothing"


def test_an_image_is_the_same_alone_in_a_batch_of_eight_and_in_another_order():
    generator = new_generator(engine="grid")
    eight = [Prompt(i, str(i), i, "", 64, 64, CAPTIONS[i % 5], i) for i in range(8)]
    together = generator.codes(eight)
    for order in ([5], [7, 0, 3], list(range(7, -1, -1))):
        np.testing.assert_array_equal(generator.codes([eight[i] for i in order]), together[order])


@pytest.mark.parametrize("bucket", [7, 32, 4096])
def test_a_cache_that_is_read_in_buckets_as_on_a_gpu_gives_the_same_tokens(bucket):
    """Slots that are not filled yet are masked, whatever stands in them from the batch before."""
    generator = new_generator(engine="grid", negative_prompt="blurry")
    expected = generator.codes(SEVERAL)
    generator.engine.kv_bucket = bucket
    read = []
    step = generator.engine.language.step
    generator.engine.language.step = lambda *given: read.append(given[-1]) or step(*given)
    np.testing.assert_array_equal(generator.codes(SEVERAL[::-1])[::-1], expected)
    np.testing.assert_array_equal(generator.codes(SEVERAL), expected)
    assert {count % bucket for count in read} == {0}
    assert len(set(read)) <= generator.engine.capacity // bucket, "each length needs a graph of its own"


def test_flash_attention_is_told_which_slots_are_filled(monkeypatch):
    """torch's kernel runs on a GPU only; here its documented meaning, written out row by row, takes its place."""
    monkeypatch.setattr(attention, "varlen", documented_varlen)
    monkeypatch.setattr("emudrift.generation.emu3.generator.flash_fault", lambda *shape: None)  # It is of 16 bit.
    expected = codes(SEVERAL, engine="grid")
    np.testing.assert_array_equal(codes(SEVERAL, engine="grid", attention="flash"), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_in_sixteen_bit_a_fixed_batch_and_padding_make_images_independent_of_their_neighbours(scale, dtype):
    generator = new_generator(engine="grid", dtype=dtype, guidance_scale=scale)
    generator.batching = generator.plan([prompt.caption for prompt in SEVERAL], 10, 4)
    assert generator.batching == Batching(4, len(generator.recipe.positive([LONG])["input_ids"][0]), "sdpa")
    first = generator.codes(SEVERAL[:4])
    np.testing.assert_array_equal(generator.codes(SEVERAL[1:3]), first[1:3])
    mixed = generator.codes([SEVERAL[3], SEVERAL[5], SEVERAL[0]])
    np.testing.assert_array_equal(mixed[[2, 0]], first[[0, 3]])


def test_sixteen_bit_logits_stay_close_to_those_of_float32():
    """The joined projections and the masked cache are as exact as the format allows, not merely repeatable."""
    drawn = codes(SEVERAL, engine="grid", top_k=1)
    half = codes(SEVERAL, engine="grid", top_k=1, dtype="float16")
    reference = codes(SEVERAL, engine="reference", top_k=1, dtype="float16")
    assert (drawn[:, 0] == half[:, 0]).mean() > 0.8
    assert (reference[:, 0] == half[:, 0]).mean() > 0.8


def test_the_sampled_distribution_equals_the_references():
    """Chi-square over 4,096 images of 2 x 1 tokens: the first against the model's own probabilities, the second given the
    likeliest first, both seen through transformers' forward and not through the engine."""
    scale, top_k, n = 1.5, 24, 4096
    generator = new_generator(engine="grid", width=16, height=8, guidance_scale=scale, top_k=top_k)
    drawn = generator.engine.codes([CAPTIONS[0]] * n, list(range(n))).reshape(n, 2).numpy()
    recipe, ids = generator.recipe, generator.recipe.structure

    def probabilities(*before: int) -> np.ndarray:
        guided = []
        for start in (recipe.positive(CAPTIONS[:1]), recipe.negative(1)):
            tokens = torch.cat(
                [start["input_ids"], torch.tensor([[ids.first_visual + code for code in before]]).long()], 1
            )
            with torch.inference_mode():
                guided.append(generator.weights.model(input_ids=tokens).logits[0, -1].double())
        logits = (guided[1] + scale * (guided[0] - guided[1]))[
            ids.first_visual : ids.first_visual + ids.n_visual
        ].numpy()
        kept = np.argsort(-logits)[:top_k]
        weights = np.zeros(len(logits))
        weights[kept] = np.exp(logits[kept] - logits.max())
        return weights / weights.sum()

    def pvalue(sample: np.ndarray, expected: np.ndarray) -> float:
        counts = np.bincount(sample, minlength=len(expected))
        assert counts[expected == 0].sum() == 0
        often = expected * len(sample) >= 5
        observed = [*counts[often], counts[~often].sum()]
        wanted = np.array([*expected[often], expected[~often].sum()])
        keep = wanted > 0
        return scipy.stats.chisquare(np.array(observed)[keep], wanted[keep] * len(sample)).pvalue

    first = probabilities()
    assert pvalue(drawn[:, 0], first) > 1e-3
    likeliest = int(first.argmax())
    second = drawn[drawn[:, 0] == likeliest, 1]
    assert len(second) > 200
    assert pvalue(second, probabilities(likeliest)) > 1e-3
    assert pvalue(drawn[:, 0], np.roll(first, 1) + 1e-12) < 1e-3, "the test cannot tell another distribution"


def test_what_is_fed_is_the_grid_and_every_drawn_token_is_visual(monkeypatch):
    """Everything that the language model reads after the prompt: lines of visual tokens, each but the last with its end."""
    fed, step = [], language_model.LanguageModel.step

    def watched(self, tokens, *rest):
        fed.append(tokens.clone())
        return step(self, tokens, *rest)

    monkeypatch.setattr(language_model.LanguageModel, "step", watched)
    generator = new_generator(engine="grid", width=40, height=24, negative_prompt="x")
    drawn = torch.from_numpy(generator.codes(SEVERAL).astype(np.int64))
    ids = generator.recipe.structure
    lines = torch.full((len(SEVERAL), 3, 6), ids.eol)
    lines[:, :, :5] = drawn + ids.first_visual
    assert int(drawn.max()) < ids.n_visual
    # The last token drawn and the end of the last line decide nothing any more.
    assert torch.equal(torch.cat(fed, 1), lines.flatten(1)[:, :-2].repeat(2, 1))


def test_joined_projections_leave_the_model_as_it_was():
    weights = Emu3Weights(SETTINGS, BASE)
    before = {name: tensor.clone() for name, tensor in weights.model.state_dict().items()}
    GridEngine(weights.model, weights.language, new_generator().recipe)
    after = weights.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    first = weights.model.model.text_model.layers[0].self_attn
    storages = {each.weight.untyped_storage().data_ptr() for each in (first.q_proj, first.k_proj, first.v_proj)}
    assert len(storages) == 1, "the joined weights are a second copy in memory"


# --- memory ---


class Hungry:
    """An engine whose device holds so many images at once and not one more."""

    def __init__(self, engine: GridEngine, most: int) -> None:
        self.codes_of, self.most, self.asked = engine.codes, most, []

    def codes(self, captions, seeds):
        self.asked.append(len(captions))
        if len(captions) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.codes_of(captions, seeds)


def test_where_memory_runs_out_the_batch_halves_and_says_so(caplog):
    generator = new_generator(engine="grid")
    expected = generator.codes(SEVERAL)
    generator.batching = Batching(6, 0)
    hungry = Hungry(generator.engine, 2)
    generator.engine.codes = hungry.codes
    np.testing.assert_array_equal(generator.codes(SEVERAL), expected)
    assert hungry.asked == [6, 3, 2, 2, 2]
    assert generator.effective_batch_size == 2
    assert "out of memory with a batch of 6; continuing with 3" in caplog.text
    np.testing.assert_array_equal(generator.codes(SEVERAL), expected)
    assert hungry.asked[5:] == [2, 2, 2], "what failed once is not tried again"


def test_a_device_too_small_for_one_image_is_one_error():
    generator = new_generator(engine="grid")
    generator.engine.codes = Hungry(generator.engine, 0).codes
    with pytest.raises(InputError, match="not enough device memory to generate one image of 64 x 64"):
        generator.codes(SEVERAL)


def test_decoding_that_needs_memory_gets_the_language_models_cache(monkeypatch):
    generator = new_generator(engine="grid")
    tokens = generator.codes(PROMPTS)
    expected = generator.decode(tokens)
    decode = generator.decode.__globals__["vq"].decode_codes

    def hungry(*given):
        if generator.engine._batch is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(*given)

    monkeypatch.setattr("emudrift.generation.emu3.vq.decode_codes", hungry)
    np.testing.assert_array_equal(generator.decode(tokens), expected)
    np.testing.assert_array_equal(generator.codes(PROMPTS), tokens)


def test_auto_is_a_moderate_number_on_a_cpu():
    generator = new_generator(engine="grid")
    assert generator.plan(CAPTIONS, 20, None).batch_size == 10
    assert generator.plan(CAPTIONS, 500, None).batch_size == 16


def test_auto_takes_what_the_device_has_free_and_no_more(monkeypatch):
    """On a stand-in for a GPU with room for ten images beside what is reserved."""
    generator = new_generator(engine="grid")
    plan = generator.engine.memory(40)
    monkeypatch.setattr(generator.weights, "device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (plan.reserved + 10.5 * plan.per_image, 1e15))
    monkeypatch.setattr(generator.recipe, "longest", lambda captions: 40)
    assert generator.plan(CAPTIONS, 500, None) == Batching(10, 40, "sdpa")


def test_other_errors_than_memory_are_not_hidden():
    generator = new_generator(engine="grid")

    def broken(captions, seeds):
        raise RuntimeError("shapes cannot be multiplied")

    generator.engine.codes = broken
    with pytest.raises(RuntimeError, match="shapes"):
        generator.codes(PROMPTS)


# --- values that are not finite ---


def test_a_row_that_is_not_finite_is_told_from_its_neighbours():
    logits = torch.zeros(4, 8)
    logits[1, 3], logits[2, 3], logits[3] = torch.nan, torch.inf, -torch.inf
    sampled = sample_top_k(logits, torch.full((4,), 0.5, dtype=torch.float64), 4)
    assert sampled[0] >= 0
    assert sampled[1:].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("engine", ["grid", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_model_that_computes_nan_ends_the_shard(engine, dtype):
    """One NaN in the last norm gave finished images of an arbitrary code."""
    generator = new_generator(engine=engine)
    generator.settings["dtype"] = dtype  # Only for the advice.
    generator.weights.model.model.text_model.norm.weight.data[3] = torch.nan
    cause = "set generation: dtype: bfloat16" if dtype == "float16" else "the weights or the adapter are damaged"
    with pytest.raises(
        InputError, match=f"NaN or infinite for 2 of 2 images, the first that of prompt 0{{12}}: .*{cause}"
    ):
        generator.codes(PROMPTS[:2])


def test_float16_that_overflows_ends_the_shard_and_bfloat16_does_not():
    """Logits of some 200,000, which float16 does not have."""
    made = {dtype: new_generator(engine="grid", dtype=dtype, width=16, height=8) for dtype in ("float16", "bfloat16")}
    for generator in made.values():
        generator.engine.head = generator.engine.head.detach() * 1e4
    with pytest.raises(InputError, match="NaN or infinite .* float16 overflows in this model; set .* bfloat16"):
        made["float16"].codes(PROMPTS[:2])
    assert made["bfloat16"].codes(PROMPTS[:2]).shape == (2, 1, 2)
