"""Pipelines of diffusers: the images that diffusers itself draws, whatever the batch; nothing random, nothing untrusted runs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before diffusers)

import numpy as np
import pytest
import torch
from conftest import experiment
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from tiny_pipeline import tiny_pipeline, tiny_sdxl

from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.archives import check_archive, write_archive
from emudrift.generation.diffusers.check import check_pipeline
from emudrift.generation.diffusers.generator import DiffusersGenerator
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.interface import Batching
from emudrift.generation.registry import check_model as check_any_model
from emudrift.generation.registry import is_unchanged
from emudrift.generation.shards import Identity, PartialShard

SETTINGS: dict[str, Any] = {
    "width": 32,
    "height": 32,
    "steps": 3,
    "dtype": "float32",
    "variant": None,
    "custom_pipeline": None,
    "guidance_scale": 3.0,
    "suffix": " in oil",
    "negative_prompt": "blurry",
    "device": "cpu",
}
PROMPTS = [Prompt(n, f"{n:012d}", n, f"{n}.png", 8, 8, f"a red {n}", 2**63 + 7919 * n) for n in range(7)]
IDENTITY = Identity("0123456789ab", "d" * 64)
THRESHOLD = 0.37
"""At which the safety checker takes offence at some of PROMPTS' images and not at others."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return tiny_pipeline(tmp_path_factory.mktemp("plain") / "pipeline")


@pytest.fixture(scope="module")
def checked(tmp_path_factory) -> Path:
    return tiny_pipeline(tmp_path_factory.mktemp("checked") / "pipeline", THRESHOLD)


@pytest.fixture
def copy(plain, tmp_path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "copy"))


def by_diffusers(kind: Any, folder: Path) -> list[np.ndarray]:
    """PROMPTS drawn by diffusers as its documentation says, one at a time."""
    pipeline = kind.from_pretrained(folder)
    return [
        np.asarray(
            pipeline(
                prompt=f"{prompt.caption} in oil",
                negative_prompt="blurry",
                guidance_scale=3.0,
                num_inference_steps=3,
                width=32,
                height=32,
                generator=torch.Generator().manual_seed(prompt.seed),
            ).images[0]
        )
        for prompt in PROMPTS
    ]


@pytest.fixture(scope="module")
def expected(plain) -> list[np.ndarray]:
    return by_diffusers(StableDiffusionPipeline, plain)


def drawn(generator: DiffusersGenerator, prompts=PROMPTS) -> list[np.ndarray]:
    size = generator.batch_size
    return [
        drawing.image for at in range(0, len(prompts), size) for drawing in generator.generate(prompts[at : at + size])
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_images_are_those_of_diffusers_itself_whatever_the_batch(plain, expected, batch_size):
    generator = DiffusersGenerator(SETTINGS, plain)
    generator.batching = Batching(batch_size, 0)
    found = drawn(generator)
    assert len({image.tobytes() for image in expected}) == len(PROMPTS)
    # In float32 sums may be added up in another order: a rounding can move one step of 255, and no more.
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(found, expected, strict=True)) <= 1


def test_an_sdxl_too_whose_scheduler_draws_random_numbers_at_every_step(tmp_path):
    folder = tiny_sdxl(tmp_path / "sdxl")
    check_pipeline(folder, None, None, False)
    generator = DiffusersGenerator(SETTINGS, folder)
    generator.batching = Batching(3, 0)
    expected = by_diffusers(StableDiffusionXLPipeline, folder)
    assert len({image.tobytes() for image in expected}) == len(PROMPTS)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(drawn(generator), expected, strict=True)) <= 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_that_is_not_full_draws_the_same_bytes(plain, dtype):
    generator = DiffusersGenerator(SETTINGS | {"dtype": dtype}, plain)
    generator.batching = Batching(4, 0)
    whole = drawn(generator)
    assert all(np.array_equal(*pair) for pair in zip(drawn(generator, PROMPTS[:2]), whole[:2], strict=True))
    assert np.array_equal(drawn(generator, PROMPTS[6:])[0], whole[6])


def test_without_guidance_the_negative_prompt_plays_no_part(tmp_path):
    model = {"name": "sd", "generator": "diffusers", "checkpoint": {"path": "x"}}
    arms = experiment(tmp_path, models=[model | {"negative_prompt": "blurry"}]).arms()
    assert [("negative_prompt" in arm.settings) for arm in arms] == [False, True]


def test_too_little_memory_halves_the_batch_and_every_image_says_so(plain, monkeypatch):
    generator = DiffusersGenerator(SETTINGS, plain)
    generator.batching = Batching(4, 0)
    alone = drawn(generator)
    whole, asked = generator.pipeline, []

    def small(*, prompt, **arguments):
        asked.append(len(prompt))
        if len(prompt) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(prompt=prompt, **arguments)

    monkeypatch.setattr(generator, "pipeline", small)
    found = list(generator.generate(PROMPTS[:4]))
    assert asked == [4, 2, 2]
    assert [drawing.effective_batch_size for drawing in found] == [2] * 4
    assert max(np.abs(a.astype(int) - b.image).max() for a, b in zip(alone[:4], found, strict=True)) <= 1
    monkeypatch.setattr(generator, "pipeline", lambda **_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(InputError, match="to generate one image of 32 x 32"):
        list(generator.generate(PROMPTS[:1]))


def test_images_that_the_safety_checker_replaced_are_named_and_survive_a_resume(checked, tmp_path):
    generator = DiffusersGenerator(SETTINGS, checked)
    partial = PartialShard(tmp_path / "partial", IDENTITY, None)
    draw_shard(PROMPTS[:3], partial, lambda: generator)
    draw_shard(PROMPTS, PartialShard(tmp_path / "partial", IDENTITY, None), lambda: generator)
    flagged = partial.flagged(PROMPTS)
    black = [p.prompt_id for p, d in zip(PROMPTS, generator.generate(PROMPTS), strict=True) if not d.image.any()]
    assert flagged == black
    assert 0 < len(flagged) < len(PROMPTS), "the test needs both kinds"
    assert partial.effective_batch_sizes(PROMPTS) == {8: 7}
    write_archive(tmp_path / "a.tar", PROMPTS, partial)
    check_archive(tmp_path / "a.tar", PROMPTS, IDENTITY)
    data = (tmp_path / "a.tar").read_bytes()
    assert data.count(b'"flagged": true') == len(flagged)
    assert b"drawn_together" not in data, "what memory decided is no part of an archive"


def test_values_that_are_no_numbers_are_an_error_and_no_black_image(copy):
    path = copy / "vae/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["decoder.conv_out.bias"][:] = float("nan")
    save_file(weights, path)
    with pytest.raises(InputError, match="produced NaN"):
        drawn(DiffusersGenerator(SETTINGS, copy))


# -- what is loaded --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file", ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"], ids=["unet", "text"]
)
def test_weights_that_are_missing_are_never_drawn_at_random(copy, file):
    weights = load_file(copy / file)
    first = min(weights)
    del weights[first]
    save_file(weights, copy / file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"lack 1 of the network's weights, such as {re.escape(first)}"):
        DiffusersGenerator(SETTINGS, copy)


def test_a_variant_is_what_is_hashed_and_loaded(plain, expected, tmp_path):
    """Plain weights that are broken prove that they are not read."""
    folder = Path(shutil.copytree(plain, tmp_path / "both"))
    shutil.copytree(tiny_pipeline(tmp_path / "fp16", variant="fp16"), folder, dirs_exist_ok=True)
    before = check_pipeline(folder, "fp16", None, False)
    assert {name for name in before["files"]["checkpoint"] if name.endswith(".safetensors")} == {
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    }
    for path in folder.glob("*/*.safetensors"):
        if ".fp16" not in path.name:
            path.write_bytes(b"broken")
    assert check_pipeline(folder, "fp16", None, False) == before
    found = drawn(DiffusersGenerator(SETTINGS | {"variant": "fp16"}, folder))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(found, expected, strict=True)) <= 1
    with pytest.raises(InputError, match="incomplete safetensors file"):
        check_pipeline(folder, None, None, False)


def test_a_model_is_recognised_and_a_changed_one_is_not(copy, tmp_path):
    model = {"name": "sd", "generator": "diffusers", "checkpoint": {"path": str(copy)}}
    tried = experiment(tmp_path, models=[model])
    found = check_any_model(tried, "sd", [])
    assert is_unchanged(tried, found, [])
    config = json.loads((copy / "scheduler/scheduler_config.json").read_text())
    (copy / "scheduler/scheduler_config.json").write_text(json.dumps(config | {"steps_offset": 0}))
    assert not is_unchanged(tried, found, [])


FAULTS = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
    "a component": (lambda f: shutil.rmtree(f / "vae"), "the folder of the component vae is missing"),
    "pickled": (
        lambda f: (f / "unet/diffusion_pytorch_model.safetensors").rename(f / "unet/diffusion_pytorch_model.bin"),
        "no weights in safetensors format; found diffusion_pytorch_model.bin; other formats are not loaded",
    ),
    "cut": (
        lambda f: (f / "text_encoder/model.safetensors").write_bytes(b"\x10" * 99),
        "incomplete safetensors file",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_checkpoint_is_found_before_anything_is_drawn(copy, fault):
    breaking, said = FAULTS[fault]
    breaking(copy)
    with pytest.raises(InputError, match=said):
        check_pipeline(copy, None, None, False)


def test_weights_of_other_sizes_are_one_clear_error(copy):
    path = copy / "unet/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cross_attention_dim": 64}))
    with pytest.raises(InputError, match="the pipeline cannot be loaded"):
        DiffusersGenerator(SETTINGS, copy)


# -- code of the checkpoint ------------------------------------------------------------------------------------------

OWN_PIPELINE = """
from pathlib import Path
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from types import SimpleNamespace

class OwnPipeline(StableDiffusionPipeline):
    # As Emu2-Gen's: one input at a time, no generator, one image, one verdict of its safety checker.
    def __call__(self, inputs, height=64, width=64, num_inference_steps=50, guidance_scale=3.0, negative_prompt=None):
        assert isinstance(inputs, str)
        out = super().__call__(prompt=inputs, height=height, width=width, num_inference_steps=num_inference_steps,
                               guidance_scale=guidance_scale, negative_prompt=negative_prompt)
        return SimpleNamespace(image=out.images[0], nsfw_content_detected=False)
"""
OWN_ENCODER = """
from transformers import CLIPTextConfig, CLIPTextModel

class OwnConfig(CLIPTextConfig):
    model_type = "own_text_model"

class OwnEncoder(CLIPTextModel):
    config_class = OwnConfig
"""


@pytest.fixture
def own(copy) -> Path:
    """A checkpoint with a pipeline and an encoder of its own, laid out as BAAI/Emu2-Gen is."""
    (copy / "own_pipeline.py").write_text(OWN_PIPELINE)
    (copy / "text_encoder/modeling_own.py").write_text(OWN_ENCODER)
    index = json.loads((copy / "model_index.json").read_text()) | {"_class_name": "OwnPipeline"}
    index["text_encoder"] = ["transformers_modules.text_encoder.modeling_own", "OwnEncoder"]
    (copy / "model_index.json").write_text(json.dumps(index))
    config = json.loads((copy / "text_encoder/config.json").read_text()) | {"model_type": "own_text_model"}
    config["auto_map"] = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnEncoder"}
    (copy / "text_encoder/config.json").write_text(json.dumps(config))
    return copy


def test_a_custom_pipeline_that_knows_no_batches_and_no_generators_draws_the_same_images(own, expected):
    generator = DiffusersGenerator(SETTINGS | {"custom_pipeline": "own_pipeline"}, own, trust_remote_code=True)
    assert type(generator.pipeline.text_encoder).__name__ == "OwnEncoder"
    assert generator.plan([], 500, 16) == Batching(1, 0)
    assert all(np.array_equal(*pair) for pair in zip(drawn(generator), expected, strict=True))
    assert all(np.array_equal(*pair) for pair in zip(drawn(generator, PROMPTS[::-1]), expected[::-1], strict=True))


def test_code_runs_only_where_it_is_trusted(own, tmp_path):
    trace = tmp_path / "it ran"
    for path in (own / "own_pipeline.py", own / "text_encoder/modeling_own.py"):
        path.write_text(f"open({str(trace)!r}, 'w').close()\n{path.read_text()}")
    with pytest.raises(InputError, match=r"contains custom Python code \(text_encoder\).*trust_remote_code: true"):
        check_pipeline(own, None, None, False)
    with pytest.raises(InputError):
        DiffusersGenerator(SETTINGS | {"custom_pipeline": "own_pipeline"}, own)
    assert not trace.exists()
    DiffusersGenerator(SETTINGS | {"custom_pipeline": "own_pipeline"}, own, trust_remote_code=True)
    assert trace.exists(), "the test proves nothing"


def test_changed_code_is_another_model(own):
    before = check_pipeline(own, None, "own_pipeline", True)["digest"]
    (own / "own_pipeline.py").write_text(OWN_PIPELINE + "\n# changed\n")
    assert check_pipeline(own, None, "own_pipeline", True)["digest"] != before
    with pytest.raises(InputError, match=r"custom_pipeline: there is no other\.py in this folder"):
        check_pipeline(own, None, "other", True)


def test_a_pipeline_that_takes_no_negative_prompt_is_refused_with_what_would_be_right(own):
    text = OWN_PIPELINE.replace(", negative_prompt=None)", ")").replace(", negative_prompt=negative_prompt)", ")")
    (own / "own_pipeline.py").write_text(text)
    settings = SETTINGS | {"custom_pipeline": "own_pipeline"}
    with pytest.raises(InputError, match='does not accept negative_prompt; set negative_prompt: "" for this model'):
        DiffusersGenerator(settings, own, trust_remote_code=True)
    DiffusersGenerator(settings | {"negative_prompt": ""}, own, trust_remote_code=True)
