"""Adapters of every kind: accepted by the check, and after merging equal to live PEFT, for which nothing is merged."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401

import pytest
import torch
from conftest import MINIATURE
from peft import (
    IA3Config,
    LoHaConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PromptTuningConfig,
    TrainableTokensConfig,
    get_peft_model,
)
from peft.helpers import rescale_adapter_scale
from safetensors.torch import load_file, save_file
from transformers import Emu3Config, Emu3ForConditionalGeneration

from emudrift.errors import InputError
from emudrift.generation.emu3.adapters import compare_adapter
from emudrift.generation.emu3.checkpoint import load_emu3

BASE = MINIATURE / "base"
ATTENTION = ["q_proj", "v_proj"]
TOKENS = torch.tensor([[382, 64, 266, 71, 391, 400, 646, 388]])
CPU = torch.device("cpu")


def lora(**settings: Any) -> LoraConfig:
    return LoraConfig(**({"r": 4, "target_modules": ATTENTION, "init_lora_weights": False} | settings))


KINDS: dict[str, Callable[[], PeftConfig]] = {
    "LoRA": lora,
    "rsLoRA": lambda: lora(use_rslora=True, lora_alpha=3),
    "DoRA": lambda: lora(use_dora=True),
    "LoRA with patterns": lambda: lora(rank_pattern={"layers.1.self_attn.q_proj": 2}, alpha_pattern={"v_proj": 5}),
    "LoRA of the output layer": lambda: lora(target_modules=["q_proj", "lm_head"]),
    "LoRA of the embedding": lambda: lora(target_modules=["q_proj", "embed_tokens"]),
    "LoRA of both, by a regular expression": lambda: lora(target_modules=r".*(lm_head|embed_tokens|up_proj)"),
    "DoRA of the output layer": lambda: lora(target_modules=["lm_head"], use_dora=True),
    "whole modules": lambda: lora(modules_to_save=["lm_head", "embed_tokens"]),
    "trained tokens": lambda: lora(trainable_token_indices={"embed_tokens": [64, 391]}),
    "trained tokens alone": lambda: TrainableTokensConfig(token_indices=[64, 391], target_modules=["embed_tokens"]),
    "IA3": lambda: IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "LoHa": lambda: LoHaConfig(r=4, target_modules=ATTENTION, init_weights=False),
}


def meta_model() -> Emu3ForConditionalGeneration:
    with torch.device("meta"):
        return Emu3ForConditionalGeneration(Emu3Config.from_pretrained(BASE))


@pytest.fixture(scope="module")
def base() -> Emu3ForConditionalGeneration:
    return load_emu3(BASE, None, torch.float32, "sdpa", CPU)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=TOKENS).logits


def new_adapter(base: Emu3ForConditionalGeneration, config: PeftConfig, folder: Path, **saving: Any) -> torch.Tensor:
    """Saves an adapter with random weights; the logits of live PEFT with it."""
    torch.manual_seed(0)
    live = get_peft_model(copy.deepcopy(base), config).eval()
    for parameter in live.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn_like(parameter)
    live.save_pretrained(folder, **saving)
    found = logits(live)
    assert (found - logits(base)).abs().max() > 0.01
    return found


def assert_equals_live(live: torch.Tensor, folder: Path) -> None:
    compare_adapter(folder, meta_model)
    merged = load_emu3(BASE, folder, torch.float32, "sdpa", CPU)
    torch.testing.assert_close(logits(merged), live, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_adapter_equals_live_peft(base, tmp_path, kind):
    assert_equals_live(new_adapter(base, KINDS[kind](), tmp_path), tmp_path)


LINEAR = [
    "LoRA",
    "rsLoRA",
    "LoRA with patterns",
    "LoRA of the output layer",
    "LoRA of both, by a regular expression",
]


@pytest.mark.parametrize("kind", LINEAR)
def test_an_adapter_at_half_strength_equals_live_peft_rescaled(base, tmp_path, kind):
    full = new_adapter(base, KINDS[kind](), tmp_path)
    live = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path)).eval()
    with rescale_adapter_scale(live, 0.5):
        half = logits(live)
    assert (half - full).abs().max() > 0.01
    compare_adapter(tmp_path, meta_model, 0.5)
    merged = load_emu3(BASE, tmp_path, torch.float32, "sdpa", CPU, adapter_scale=0.5)
    torch.testing.assert_close(logits(merged), half, rtol=0, atol=1e-5)


def test_weights_at_a_scale_lie_on_the_line_through_base_and_adapter(base, tmp_path):
    """And at 0 they are those of the base model, to the bit."""
    new_adapter(base, KINDS["LoRA with patterns"](), tmp_path)
    full, most, none = (
        load_emu3(BASE, tmp_path, torch.float32, "sdpa", CPU, adapter_scale=scale).state_dict()
        for scale in (1, 0.75, 0)
    )
    own = base.state_dict()
    assert all(torch.equal(none[name], own[name]) for name in own)
    moved = [name for name in own if not torch.equal(full[name], own[name])]
    assert len(moved) == 8
    for name in moved:
        torch.testing.assert_close(most[name], own[name] + 0.75 * (full[name] - own[name]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (KINDS["DoRA"], "DoRA divides by the norm of the changed weights"),
        (KINDS["whole modules"], "modules_to_save replaces weights of the base model"),
        (KINDS["trained tokens"], "trainable_token_indices replaces weights"),
        (KINDS["trained tokens alone"], "peft scales LoRA layers only, and this is of type TRAINABLE_TOKENS"),
        (KINDS["IA3"], "peft scales LoRA layers only, and this is of type IA3"),
        (KINDS["LoHa"], "peft scales LoRA layers only, and this is of type LOHA"),
        (lambda: lora(bias="all"), "bias: all trains biases"),
        (lambda: lora(init_lora_weights="olora"), "init_lora_weights: olora changes the base weights as well"),
    ],
)
def test_an_adapter_whose_scale_is_not_linear_is_refused(base, tmp_path, config, said):
    get_peft_model(copy.deepcopy(base), config()).save_pretrained(tmp_path)
    message = f"^{tmp_path}: the adapter cannot be scaled by 0.5: {said}"
    with pytest.raises(InputError, match=message):
        compare_adapter(tmp_path, meta_model, 0.5)
    with pytest.raises(InputError, match=message):
        load_emu3(BASE, tmp_path, torch.float32, "sdpa", CPU, adapter_scale=0.5)


def test_an_adapter_that_brings_another_embedding_is_not_scaled(base, tmp_path):
    new_adapter(base, lora(target_modules=["lm_head"]), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("lm_head.base_layer.weight"))
    save_file(weights | {name: weights[name] * 1.01}, path)
    load_emu3(BASE, tmp_path, torch.float32, "sdpa", CPU)
    with pytest.raises(
        InputError, match=r"cannot be scaled: .*lm_head\.base_layer\.weight is not that of the base model"
    ):
        load_emu3(BASE, tmp_path, torch.float32, "sdpa", CPU, adapter_scale=0.5)


@pytest.mark.parametrize("save_embedding_layers", [True, False])
def test_whole_embeddings_next_to_an_adapter_may_be_there_or_not(base, tmp_path, save_embedding_layers):
    config = lora(target_modules=["q_proj", "lm_head"])
    live = new_adapter(base, config, tmp_path, save_embedding_layers=save_embedding_layers)
    names = load_file(tmp_path / "adapter_model.safetensors")
    assert any("base_layer" in name for name in names) == save_embedding_layers
    assert_equals_live(live, tmp_path)


def rename_as_by_transformers_4_51(folder: Path) -> None:
    """As PEFT saved it when Emu3's language model was `text_model.model`, with its output layer next to it."""
    path = folder / "adapter_model.safetensors"
    renamed = {}
    for name, tensor in load_file(path).items():
        inner = name.removeprefix("base_model.model.")
        if inner.startswith("lm_head"):
            inner = f"text_model.{inner}"
        elif inner.startswith("model.text_model."):
            inner = inner.replace("model.text_model.", "text_model.model.", 1)
        elif inner.startswith("model.vqmodel."):
            inner = inner.removeprefix("model.")
        renamed[f"base_model.model.{inner}"] = tensor
    assert renamed.keys() != load_file(path).keys()
    save_file(renamed, path)


@pytest.mark.parametrize(
    ("today", "then"),
    [
        ({}, {}),
        ({"target_modules": ["q_proj", "lm_head", "embed_tokens"]}, {}),
        ({"modules_to_save": ["lm_head"]}, {}),
        (
            {"target_modules": r".*model\.text_model\.layers\.\d+\.(self_attn|mlp)\.(q|v|up)_proj"},
            {"target_modules": r".*text_model\.model\.layers\.\d+\.(self_attn|mlp)\.(q|v|up)_proj"},
        ),
        (
            {"target_modules": ["model.text_model.layers.2.mlp.up_proj", "lm_head"]},
            {"target_modules": ["text_model.model.layers.2.mlp.up_proj", "text_model.lm_head"]},
        ),
        (
            {"rank_pattern": {"model.text_model.layers.1.self_attn.q_proj": 2}},
            {"rank_pattern": {"text_model.model.layers.1.self_attn.q_proj": 2}},
        ),
        (
            {"rank_pattern": {"text_model.layers.1.self_attn.q_proj": 2}},
            {"rank_pattern": {"model.layers.1.self_attn.q_proj": 2}},
        ),
    ],
    ids=["suffixes", "embeddings", "whole module", "expression", "paths", "path in a pattern", "end of a path"],
)
def test_names_of_transformers_4_51_are_understood(base, tmp_path, today, then):
    live = new_adapter(base, lora(**today), tmp_path)
    rename_as_by_transformers_4_51(tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | then))
    assert_equals_live(live, tmp_path)


def test_an_adapter_with_old_names_and_a_weight_too_few_is_refused(base, tmp_path):
    new_adapter(base, lora(), tmp_path)
    rename_as_by_transformers_4_51(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    weights = load_file(path)
    weights.pop(next(name for name in weights if "layers.3" in name))
    save_file(weights, path)
    with pytest.raises(InputError, match=r"1 of the adapter's .* weights are missing; the first is .*layers\.3"):
        compare_adapter(tmp_path, meta_model)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (lora(lora_bias=True), "Impossible to merge LoRA with `lora_bias=True`"),
        (PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM", token_dim=128, num_layers=4), "PROMPT_TUNING"),
    ],
    ids=["biases", "prompt tuning"],
)
def test_an_adapter_that_cannot_be_merged_is_refused_before_anything_is_loaded(base, tmp_path, config, said):
    get_peft_model(copy.deepcopy(base), config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"the adapter does not fit the base model: .*{said}"):
        compare_adapter(tmp_path, meta_model)


@pytest.mark.parametrize(
    "change",
    [
        {"alpha_pattern": None},
        {"bias": 1},
        {"megatron_config": {"a": 1}, "megatron_core": "none"},
        {"target_modules": ["none"]},
        {"target_modules": "("},
        {"r": -1},
    ],
)
def test_settings_that_peft_does_not_take_are_one_error(base, tmp_path, change):
    new_adapter(base, lora(), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=f"{tmp_path}.*: "):
        compare_adapter(tmp_path, meta_model)


def test_an_embedding_of_another_size_is_refused(base, tmp_path):
    """As from a tokenizer with more tokens than the base model's."""
    new_adapter(base, lora(target_modules=["lm_head"]), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("lm_head.base_layer.weight"))
    save_file(weights | {name: torch.cat([weights[name], weights[name][:1]])}, path)
    with pytest.raises(InputError, match=r"1 of the adapter's .* weights belong to a base model with other sizes"):
        compare_adapter(tmp_path, meta_model)
