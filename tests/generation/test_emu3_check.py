"""Emu3 checkpoints that are refused before anything long starts, and those that are accepted."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401

import pytest
import torch
from conftest import MINIATURE, experiment, small_config
from safetensors.torch import load_file, save_file
from test_emu3 import SETTINGS, new_generator

from emudrift.errors import InputError
from emudrift.features.check import check_experiment
from emudrift.generation.emu3.check import check_emu3, have_same_times
from emudrift.generation.emu3.checkpoint import load_emu3
from emudrift.generation.emu3.generator import Emu3Generator, Emu3Weights
from emudrift.generation.registry import check_model
from emudrift.generation.weight_files import hash_weights

BASE = MINIATURE / "base"


def edit_weights(path: Path, edit) -> None:
    weights = load_file(path)
    edit(weights)
    save_file(weights, path, metadata={"format": "pt"})


def widen_first_factor(weights):
    name = next(name for name in weights if "lora_A" in name)
    weights[name] = torch.zeros(weights[name].shape[0], weights[name].shape[1] + 1)


def rename_first_factor(weights):
    name = next(name for name in weights if "lora_A" in name)
    weights[name.replace("layers.0", "layers.99")] = weights.pop(name)


def add_factor(weights):
    name = next(name for name in weights if "lora_A" in name)
    weights[name.replace("layers.0", "layers.99")] = weights[name].clone()


FAULTS = {
    "no folder": (lambda base, adapter: shutil.rmtree(base), "the checkpoint folder is missing"),
    "no weights": (
        lambda base, adapter: (base / "model.safetensors").unlink(),
        "the weights are missing: model.safetensors",
    ),
    "truncated weights": (
        lambda base, adapter: (base / "model.safetensors").write_bytes(
            (base / "model.safetensors").read_bytes()[:5000]
        ),
        "incomplete safetensors file",
    ),
    "no config": (lambda base, adapter: (base / "config.json").unlink(), "has no config.json"),
    "broken config": (lambda base, adapter: (base / "config.json").write_text("{"), "config.json: not valid JSON"),
    "other model": (
        lambda base, adapter: (base / "config.json").write_text('{"model_type": "llama"}'),
        "expected 'emu3'",
    ),
    "missing weight": (
        lambda base, adapter: edit_weights(base / "model.safetensors", lambda w: w.pop("text_model.model.norm.weight")),
        "1 weights are missing; the first is model.text_model.norm.weight",
    ),
    "wrong shape": (
        lambda base, adapter: edit_weights(
            base / "model.safetensors", lambda w: w.update({"text_model.model.norm.weight": torch.zeros(3)})
        ),
        r"has shape \(3,\), but config.json requires",
    ),
    "no adapter": (lambda base, adapter: shutil.rmtree(adapter), "the adapter folder is missing"),
    "no adapter weights": (
        lambda base, adapter: (adapter / "adapter_model.safetensors").unlink(),
        "the adapter's weights are missing",
    ),
    "adapter of another size": (
        lambda base, adapter: edit_weights(adapter / "adapter_model.safetensors", widen_first_factor),
        "1 of the adapter's .* weights belong to a base model with other sizes",
    ),
    "adapter of another model": (
        lambda base, adapter: edit_weights(adapter / "adapter_model.safetensors", rename_first_factor),
        "1 of the adapter's .* weights are missing",
    ),
    "adapter with more than the base": (
        lambda base, adapter: edit_weights(adapter / "adapter_model.safetensors", add_factor),
        "1 of the adapter's .* weights belong to a base model with other modules; .*layers.99",
    ),
    "half an adapter": (
        lambda base, adapter: edit_weights(
            adapter / "adapter_model.safetensors",
            lambda weights: [weights.pop(name) for name in list(weights) if "lora_B" in name],
        ),
        "weights are missing; .*lora_B",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_checkpoint_is_refused_before_it_is_loaded(copies, fault):
    break_it, said = FAULTS[fault]
    whole = check_emu3(*copies)
    assert set(whole["files"]) == {"checkpoint", "adapter"}
    break_it(*copies)
    with pytest.raises(InputError, match=said):
        check_emu3(*copies)


def test_the_digest_covers_weights_and_adapter_and_not_the_readme(copies):
    base, adapter = copies
    whole = check_emu3(base, adapter)["digest"]
    (base / "README.md").write_text("another word")
    assert check_emu3(base, adapter)["digest"] == whole
    assert check_emu3(base, None)["digest"] != whole
    edit_weights(adapter / "adapter_model.safetensors", lambda w: w[next(iter(w))].add_(1))
    assert check_emu3(base, adapter)["digest"] != whole


def test_changed_files_are_seen_and_touched_or_copied_ones_are_not_mistaken_for_changed(copies):
    folders = dict(zip(("checkpoint", "adapter"), copies, strict=True))
    recorded = check_emu3(*copies)
    assert have_same_times(recorded["files"], folders)
    weights = copies[1] / "adapter_model.safetensors"
    os.utime(weights, ns=(1, 1))
    assert not have_same_times(recorded["files"], folders)
    assert check_emu3(*copies)["digest"] == recorded["digest"]
    edit_weights(weights, lambda w: w[next(iter(w))].add_(1))
    assert not have_same_times(recorded["files"], folders)
    assert check_emu3(*copies)["digest"] != recorded["digest"]


def test_weights_are_accepted_under_the_names_of_the_modules_and_of_the_published_checkpoint(copies):
    """transformers still writes Emu3 under its first names; files made by other tools carry those of the modules."""

    def module_names(weights):
        for name in list(weights):
            new = name.replace("text_model.lm_head", "lm_head").replace("text_model.model.", "model.text_model.")
            weights[new.replace("vqmodel.", "model.vqmodel.")] = weights.pop(name)

    assert "text_model.lm_head.weight" in load_file(copies[0] / "model.safetensors")
    edit_weights(copies[0] / "model.safetensors", module_names)
    assert "lm_head.weight" in load_file(copies[0] / "model.safetensors")
    check_emu3(*copies)
    first = load_emu3(BASE, None, torch.bfloat16, "sdpa", torch.device("cpu")).state_dict()
    renamed = load_emu3(copies[0], None, torch.bfloat16, "sdpa", torch.device("cpu")).state_dict()
    assert all(torch.equal(first[name], renamed[name]) for name in first)


def edit_json(path: Path, edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def spoil(name, value):
    """Sets one element of a weight."""

    def edit(weights):
        weights[name].view(-1)[3] = value

    return edit


def exchange_two_codes(tokenizer):
    first, second = tokenizer["added_tokens"][-2:]
    first["content"], second["content"] = second["content"], first["content"]


def shift_visual_tokens(config):
    names = config["vocabulary_map"]
    names.update({name: number + 1 for name, number in names.items() if name.startswith("<|visual")})


def drop_last_code(config):
    del config["vocabulary_map"]["<|visual token 000255|>"]


def as_quantised(weights):
    name = "text_model.model.layers.0.mlp.up_proj.weight"
    weights[name] = weights[name].to(torch.int8)
    weights[name.replace("weight", "SCB")] = torch.ones(len(weights[name]))


WEIGHTS, NORM = "model.safetensors", "text_model.model.norm.weight"
OF_FILES = {
    "no tokenizer": (lambda base: (base / "tokenizer.json").unlink(), "has no tokenizer: tokenizer.json"),
    "empty tokenizer": (lambda base: (base / "tokenizer.json").write_text(""), "cannot load the tokenizer"),
    "no image processor": (lambda base: (base / "processor_config.json").unlink(), "cannot load the tokenizer"),
    "no names of structure tokens": (lambda base: (base / "tokenizer_config.json").write_text("{}"), "no attribute"),
    "words without tokens": (
        lambda base: edit_json(base / "tokenizer.json", lambda t: t["model"].update(vocab={}, merges=[])),
        "has the id .* in the tokenizer, but",
    ),
    "merges of unknown letters": (
        lambda base: edit_json(base / "tokenizer.json", lambda t: t["model"]["vocab"].pop("o")),
        "Exception: Error while initializing BPE",
    ),
    "letters without tokens": (
        lambda base: edit_json(
            base / "tokenizer.json", lambda t: t["model"]["vocab"].update({"?9": t["model"]["vocab"].pop("4")})
        ),
        "its tokenizer loses text: 'A photo of 2 dogs",
    ),
    "half of the visual tokens": (
        lambda base: edit_json(base / "tokenizer.json", lambda t: t.update(added_tokens=t["added_tokens"][:-9])),
        "its tokenizer has no token '<.visual token 000247.>'",
    ),
    "two codes exchanged": (
        lambda base: edit_json(base / "tokenizer.json", exchange_two_codes),
        "'<.visual token 000254.>' has the id 646 in the tokenizer, but 645",
    ),
    "visual tokens shifted": (lambda base: edit_json(base / "config.json", shift_visual_tokens), "but 392 in the voc"),
    "a code without token": (
        lambda base: edit_json(base / "config.json", drop_last_code),
        "255 visual tokens, but the codebook of the VQ has 256 codes",
    ),
    "another end of sequence": (
        lambda base: edit_json(base / "config.json", lambda c: c["text_config"].update(eos_token_id=7)),
        "eos_token_id is 7, but that token has the id 383",
    ),
    "quantised, and says so": (
        lambda base: edit_json(base / "config.json", lambda c: c.update(quantization_config={"load_in_8bit": True})),
        "a quantised checkpoint .config.json has quantization_config.",
    ),
    "quantised, and does not say so": (
        lambda base: edit_weights(base / WEIGHTS, as_quantised),
        "a quantised checkpoint .its weight model.text_model.layers.0.mlp.up_proj.weight is I8.",
    ),
    "NaN": (
        lambda base: edit_weights(base / WEIGHTS, spoil("text_model.model.layers.3.mlp.down_proj.weight", torch.nan)),
        "text_model.model.layers.3.mlp.down_proj.weight contains NaN or infinity",
    ),
    "infinity in the VQ": (
        lambda base: edit_weights(base / WEIGHTS, spoil("vqmodel.decoder.conv_out.weight", -torch.inf)),
        "vqmodel.decoder.conv_out.weight contains NaN or infinity",
    ),
    "weights twice": (
        lambda base: (base / "model.safetensors.index.json").write_text('{"weight_map": {"x": "model.safetensors"}}'),
        "has both model.safetensors and model.safetensors.index.json",
    ),
    "an index that is none": (
        lambda base: (
            (base / WEIGHTS).rename(base / "other.safetensors"),
            (base / "model.safetensors.index.json").write_text("{}"),
        ),
        "has no weight_map",
    ),
    "a config that is no object": (lambda base: (base / "config.json").write_text("[]"), "list, not a JSON object"),
    "a dtype that is none": (
        lambda base: edit_json(base / "config.json", lambda c: c.update(dtype="x")),
        "not an Emu3 c",
    ),
    "no text config": (
        lambda base: edit_json(base / "config.json", lambda c: c.update(text_config=[])),
        "not an Emu3 c",
    ),
    "no vocabulary": (
        lambda base: edit_json(base / "config.json", lambda c: c.update(vocabulary_map=None)),
        "not an Emu3 config",
    ),
    "a negative width": (
        lambda base: edit_json(base / "config.json", lambda c: c["text_config"].update(hidden_size=-1)),
        "not an Emu3 config",
    ),
    "no tokens": (
        lambda base: edit_json(base / "config.json", lambda c: c["text_config"].update(vocab_size=-1)),
        "not an Emu3 config",
    ),
    "a length that is no number": (
        lambda base: edit_json(base / "tokenizer_config.json", lambda c: c.update(model_max_length="x")),
        "cannot load the tokenizer",
    ),
    "no output layer": (
        lambda base: edit_weights(base / WEIGHTS, lambda w: w.pop("text_model.lm_head.weight")),
        "1 weights are missing; the first is lm_head.weight",
    ),
}


@pytest.mark.parametrize("fault", OF_FILES)
def test_a_checkpoint_that_would_draw_wrong_pictures_is_refused(copies, fault):
    break_it, said = OF_FILES[fault]
    break_it(copies[0])
    with pytest.raises(InputError, match=said) as error:
        check_emu3(copies[0])
    assert "\n" not in str(error.value)
    assert str(copies[0]) in str(error.value)


def test_an_adapter_with_a_value_that_is_not_finite_is_refused(copies):
    name = next(iter(load_file(copies[1] / "adapter_model.safetensors")))
    edit_weights(copies[1] / "adapter_model.safetensors", spoil(name, torch.inf))
    with pytest.raises(InputError, match="contains NaN or infinity"):
        check_emu3(*copies)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [torch.nan, -torch.nan, torch.inf, -torch.inf])
def test_every_value_of_every_dtype_is_looked_at(tmp_path, dtype, value):
    generator = torch.Generator().manual_seed(0)
    weights = {"a": torch.randn(3, 7, generator=generator).to(dtype), "b": torch.arange(5), "c": torch.zeros(0)}
    weights["a"][0, 0] = torch.finfo(dtype).max
    weights["a"][0, 1] = -torch.finfo(dtype).tiny
    save_file(weights, tmp_path / "whole.safetensors")
    sha256 = hashlib.sha256((tmp_path / "whole.safetensors").read_bytes()).hexdigest()
    assert hash_weights(tmp_path / "whole.safetensors") == sha256
    for place in (0, 10, 20):
        spoiled = weights | {"a": weights["a"].clone()}
        spoiled["a"].view(-1)[place] = value
        save_file(spoiled, tmp_path / "spoiled.safetensors")
        with pytest.raises(InputError, match="the weight a contains NaN"):
            hash_weights(tmp_path / "spoiled.safetensors")


def test_models_that_split_captions_differently_are_not_compared(tmp_path):
    ours = experiment(tmp_path)
    prompts = [None] * 20
    whole = {"digest": "", "vocabulary": check_emu3(BASE)["vocabulary"]}
    models = [{"model": name} | whole for name in ("base", "finetuned")]
    check_experiment(ours, {"": prompts}, models)
    for change, said in (({"probe": [1]}, "a caption has other tokens"), ({"eol": 1}, "eol is 1, not 39")):
        other = models[1] | {"vocabulary": models[1]["vocabulary"] | change}
        with pytest.raises(InputError, match=f"models: finetuned: its tokenizer is not that of base .{said}"):
            check_experiment(ours, {"": prompts}, [models[0], other])


@pytest.mark.parametrize(("width", "height", "tokens"), [(720, 720, "8,193"), (64, 240, "273")])
def test_an_image_with_more_tokens_than_positions_is_refused_by_the_check(tmp_path, width, height, tokens):
    size = small_config()["generation"] | {"width": width, "height": height}
    ours = experiment(tmp_path, generation=size)
    with pytest.raises(
        InputError, match=f"height {height}: an image has {tokens} tokens, but the model has 256 positions"
    ):
        check_model(ours, "base", [])


def test_a_prompt_that_leaves_too_few_positions_is_refused_before_the_first_image():
    generator = new_generator(engine="grid")
    generator.plan(["a red circle"], 10, 8)
    with pytest.raises(
        InputError, match="an image has 75 tokens and its prompt [0-9]+, but the model has 256 positions"
    ):
        generator.plan(["a red circle, " * 60], 10, 8)


def test_a_caption_without_tokens_is_refused(monkeypatch):
    generator = new_generator(engine="grid")
    tokenizer = generator.recipe.processor.tokenizer
    monkeypatch.setattr(type(tokenizer), "__call__", lambda self, texts, **_: {"input_ids": [[] for _ in texts]})
    with pytest.raises(InputError, match="the tokenizer has no tokens for the caption 'a red circle'"):
        generator.plan(["a red circle"], 10, 8)


@pytest.mark.parametrize(
    "fault", ["two codes exchanged", "letters without tokens", "a code without token", "no tokenizer"]
)
def test_a_checkpoint_that_was_not_checked_is_refused_when_it_is_loaded(copies, fault):
    break_it, said = OF_FILES[fault]
    break_it(copies[0])
    with pytest.raises(InputError, match=said):
        Emu3Generator(SETTINGS, Emu3Weights(SETTINGS, copies[0]))
