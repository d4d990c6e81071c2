"""Adapters of pipelines: images are those of weights merged by hand, whatever the format, and nothing is dropped silently."""

import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before diffusers)

import numpy as np
import pytest
import torch
from conftest import experiment
from diffusers import DiffusionPipeline
from peft import LoHaConfig, get_peft_model
from pipeline_adapters import Changes, merge, random_changes, save_diffusers, save_kohya, save_peft
from safetensors.torch import load_file, save_file
from test_diffusers import PROMPTS, SETTINGS, drawn
from tiny_pipeline import tiny_flux, tiny_pipeline

from emudrift.errors import InputError
from emudrift.generation.diffusers.adapter_files import find_adapter
from emudrift.generation.diffusers.adapters import apply_adapter
from emudrift.generation.diffusers.generator import DiffusersGenerator
from emudrift.generation.diffusers.loading import empty_pipeline
from emudrift.generation.interface import Batching
from emudrift.generation.registry import check_model, is_unchanged, load_generator
from emudrift.runtime.library_warnings import listen

SD = {"unet": ("to_q", "to_v", "ff.net.2"), "text_encoder": ("q_proj", "out_proj", "fc1")}
UNET = {"unet": ("to_k", "to_out.0")}
FLUX = {"transformer": ("to_q", "to_v", "proj_mlp"), "text_encoder": ("v_proj",)}
FEW = PROMPTS[:2]


@pytest.fixture(scope="module")
def sd(tmp_path_factory) -> Path:
    return tiny_pipeline(tmp_path_factory.mktemp("sd") / "pipeline")


@pytest.fixture(scope="module")
def flux(tmp_path_factory) -> Path:
    return tiny_flux(tmp_path_factory.mktemp("flux") / "pipeline")


def settings(scale: float = 1, **more: Any) -> dict[str, Any]:
    return SETTINGS | {"adapter_scale": scale} | more


def few(generator: DiffusersGenerator) -> np.ndarray:
    generator.batching = Batching(len(FEW), 0)
    return np.stack(drawn(generator, FEW)).astype(int)


def images(folder: Path, adapter: Path | None, scale: float = 1, **more: Any) -> np.ndarray:
    found = None if adapter is None else find_adapter(adapter)
    return few(DiffusersGenerator(settings(scale, **more), folder, adapter=found))


def by_hand(folder: Path, changes: Changes, scale: float, **more: Any) -> np.ndarray:
    """Images of the pipeline whose weights are changed before anything knows of an adapter."""
    generator = DiffusersGenerator(settings(**more), folder)
    merge(generator.pipeline, changes, scale)
    return few(generator)


FORMATS: dict[str, tuple[dict[str, tuple[str, ...]], Callable[[Path, Changes], Path]]] = {
    "diffusers": (SD, save_diffusers),
    "kohya": (SD, save_kohya),
    "a folder of PEFT for each network": (SD, save_peft),
    "one folder of PEFT": (UNET, save_peft),
}


@pytest.fixture(scope="module")
def expected(sd) -> dict[str, tuple[Changes, dict[float, np.ndarray]]]:
    """By what is changed: the changes, and the images at each scale."""
    plain, found = DiffusionPipeline.from_pretrained(sd), {}
    for targets in (SD, UNET):
        changes = random_changes(plain, targets)
        by_scale = {0: images(sd, None)} | {scale: by_hand(sd, changes, scale) for scale in (0.5, 1)}
        assert all(np.abs(one - other).mean() > 2 for one, other in itertools.combinations(by_scale.values(), 2))
        found[str(targets)] = changes, by_scale
    return found


@pytest.mark.parametrize("kind", FORMATS)
def test_images_at_every_scale_are_those_of_weights_merged_by_hand(sd, expected, tmp_path, kind):
    targets, save = FORMATS[kind]
    changes, wanted = expected[str(targets)]
    adapter = save(tmp_path / "adapter", changes)
    for scale in (0.5, 1):
        assert np.abs(images(sd, adapter, scale) - wanted[scale]).max() <= 1
    assert np.array_equal(images(sd, adapter, 0), wanted[0])  # To the bit.


def test_a_flux_at_half_and_full_strength_and_at_0(flux, tmp_path):
    plain = {"guidance_scale": 3.5, "negative_prompt": ""}
    changes = random_changes(DiffusionPipeline.from_pretrained(flux), FLUX)
    adapter = save_diffusers(tmp_path / "adapter", changes)
    base = images(flux, None, **plain)
    assert np.array_equal(images(flux, adapter, 0, **plain), base)
    for scale in (0.5, 1):
        found = images(flux, adapter, scale, **plain)
        assert np.abs(found - by_hand(flux, changes, scale, **plain)).max() <= 1
        assert np.abs(found - base).mean() > 3


# -- what is refused -------------------------------------------------------------------------------------------------


def changed(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    """A file with other tensors, and with its metadata gone, as most files have none."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return path


A = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight"
REFUSED: dict[str, tuple[Callable[[dict[str, torch.Tensor]], Any], str]] = {
    "a module that is not there": (
        lambda t: t.update({f"unet.mid_block.attentions.7.to_q.lora_{k}.weight": torch.ones(4, 4) for k in "AB"}),
        r"2 of the adapter's \d+ weights belong to no module of the pipeline: unet.mid_block.attentions.7.to_q.lora_A.weight, ",
    ),
    "a text encoder that is not there": (
        lambda t: t.update({f"text_encoder_2.layers.0.q_proj.lora_{k}.weight": torch.ones(4, 4) for k in "AB"}),
        r"2 of the adapter's \d+ weights belong to no module of the pipeline: text_encoder_2.layers.0.q_proj",
    ),
    "a weight too few": (lambda t: t.pop(A), f"1 of the adapter's weights are missing: {A}"),
    "another size": (
        lambda t: t.update({A: torch.ones(4, 7)}),
        "the adapter does not fit the pipeline StableDiff.*size mismatch",
    ),
    "never trained": (
        lambda t: t.update({name: 0 * tensor for name, tensor in t.items() if "lora_B" in name}),
        r"the adapter changes nothing: its \d+ lora_B weights are 0, as before training",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_an_adapter_that_would_be_loaded_in_part_is_refused_with_the_names(sd, tmp_path, fault):
    change, said = REFUSED[fault]
    folder = save_diffusers(tmp_path / "adapter", random_changes(DiffusionPipeline.from_pretrained(sd), UNET))
    path = changed(folder / "pytorch_lora_weights.safetensors", change)
    with pytest.raises(InputError, match=said):
        apply_adapter(empty_pipeline(sd), path)


def test_what_diffusers_drops_while_it_reads_a_file_of_kohya_is_refused(sd, tmp_path):
    changes = random_changes(DiffusionPipeline.from_pretrained(sd), {"unet": ("to_q", "to_k")})
    path = save_kohya(tmp_path / "adapter", changes)
    first = next(name for name in load_file(path) if name.endswith("lora_down.weight")).removesuffix("lora_down.weight")
    dora = shutil.copy(path, tmp_path / "dora.safetensors")
    changed(dora, lambda t: t.update({f"{first}dora_scale": torch.ones(32, 1)}))
    with pytest.raises(InputError, match=f"diffusers drops 1 of the adapter's weights: {first}dora_scale$"):
        apply_adapter(empty_pipeline(sd), dora)
    changed(path, lambda t: t.update({"lora_unet_nothing.alpha": torch.tensor(1.0)}))
    with pytest.raises(InputError, match="lora_unet_nothing.alpha"):
        apply_adapter(empty_pipeline(sd), path)


def test_diffusers_itself_drops_half_a_text_encoder_and_here_that_is_refused(sd, tmp_path):
    """It takes one kind of name in a file for all of them: a part of the layers is left as it was, with a warning."""
    changes = random_changes(
        DiffusionPipeline.from_pretrained(sd), {"unet": ("to_q",), "text_encoder": ("q_proj", "fc1")}
    )
    path = save_kohya(tmp_path / "adapter", changes)
    with pytest.raises(
        InputError, match=r"4 of the adapter's \d+ weights belong to no module of the pipeline: text_encoder\."
    ):
        apply_adapter(empty_pipeline(sd), path)


def test_a_flux_file_of_kohya_whose_layers_diffusers_splits_is_followed_to_every_part(flux, tmp_path):
    """Its q, k and v are one layer there; diffusers knows no names for a T5, and leaves its weights out."""
    ends = {"lora_down.weight": (4, 32), "lora_up.weight": (96, 4)}
    fused = {
        f"lora_unet_double_blocks_0_{s}_attn_qkv.{end}": torch.randn(size)
        for s in ("img", "txt")
        for end, size in ends.items()
    }
    path, names = tmp_path / "a.safetensors", list(fused)
    save_file(fused, path)
    pipeline = empty_pipeline(flux)
    apply_adapter(pipeline, path)
    layer = pipeline.transformer.transformer_blocks[0].attn.to_k
    assert torch.equal(layer.get_delta_weight("emudrift"), fused[names[1]][32:64] @ fused[names[0]])
    t5 = "lora_te3_encoder_block_0_layer_0_SelfAttention_k"
    changed(path, lambda t: t.update({f"{t5}.lora_{part}.weight": torch.ones(4, 4) for part in ("down", "up")}))
    with pytest.raises(
        InputError, match=f"diffusers drops 2 of the adapter's weights: {t5}.lora_down.weight, {t5}.lora_up.weight$"
    ):
        apply_adapter(empty_pipeline(flux), path)


def test_kinds_of_peft(sd, tmp_path):
    """rsLoRA has a strength of its own, LoHa none but 1, and whole layers are not taken."""
    folder = save_peft(
        tmp_path / "adapter", random_changes(DiffusionPipeline.from_pretrained(sd), UNET), use_rslora=True
    )
    for scale, wanted in ((1, 4), (0.5, 2)):  # alpha / √rank is 4
        pipeline = empty_pipeline(sd)
        apply_adapter(pipeline, find_adapter(folder), scale)
        assert {m.scaling["emudrift"] for m in pipeline.unet.modules() if hasattr(m, "lora_A")} == {wanted}
    get_peft_model(empty_pipeline(sd).unet, LoHaConfig(target_modules=["to_q"], init_weights=False)).save_pretrained(
        tmp_path / "h"
    )
    apply_adapter(empty_pipeline(sd), find_adapter(tmp_path / "h"))
    with pytest.raises(
        InputError, match=r"cannot be scaled by 0\.5: peft scales LoRA layers only, and this is of type LOHA"
    ):
        apply_adapter(empty_pipeline(sd), find_adapter(tmp_path / "h"), 0.5)
    config = json.loads((folder / "adapter_config.json").read_text()) | {"modules_to_save": ["conv_in"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(
        InputError, match=r"replaces whole layers of unet \(modules_to_save\), which is not loaded here"
    ):
        apply_adapter(empty_pipeline(sd), find_adapter(folder))


def test_a_change_that_is_not_proportional_to_the_scale_is_refused_at_other_scales(sd, tmp_path):
    pipeline = DiffusionPipeline.from_pretrained(sd)
    changes = random_changes(pipeline, UNET)
    folder = save_peft(tmp_path / "adapter", changes, use_dora=True)
    weights = {name: pipeline.unet.get_submodule(name).weight for name in changes["unet"]}
    norms = {f"base_model.model.{name}.lora_magnitude_vector": w.norm(dim=1).detach() for name, w in weights.items()}
    changed(folder / "adapter_model.safetensors", lambda t: t.update(norms))
    apply_adapter(empty_pipeline(sd), find_adapter(folder))
    with pytest.raises(InputError, match=r"the adapter cannot be scaled by 0\.5: DoRA divides"):
        apply_adapter(empty_pipeline(sd), find_adapter(folder), 0.5)


def test_an_adapter_of_the_unet_alone_warns_of_no_text_encoder(sd, tmp_path):
    """diffusers does, with a text that would reach the page: every weight was looked for, so there is nothing to warn of."""
    folder = save_diffusers(tmp_path / "adapter", random_changes(DiffusionPipeline.from_pretrained(sd), UNET))
    heard = listen()
    apply_adapter(empty_pipeline(sd), find_adapter(folder))
    assert heard.about_images == []
    empty_pipeline(sd).load_lora_weights(folder)
    assert "No LoRA keys associated to CLIPTextModel" in heard.about_images[0], "the test proves nothing"


def test_an_adapter_folder_says_what_it_lacks(tmp_path):
    with pytest.raises(InputError, match="the adapter is missing"):
        find_adapter(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"has neither a LoRA file \(\*\.safetensors\) nor adapter_config\.json"):
        find_adapter(tmp_path)
    (tmp_path / "a.safetensors").touch()
    assert find_adapter(tmp_path) == tmp_path / "a.safetensors"
    (tmp_path / "b.safetensors").touch()
    with pytest.raises(
        InputError, match=r"one of 2 files \(a\.safetensors, b\.safetensors\); say which by weight_name"
    ):
        find_adapter(tmp_path)
    assert find_adapter(tmp_path, "b.safetensors") == tmp_path / "b.safetensors"
    (tmp_path / "c.pt").touch()
    with pytest.raises(InputError, match=r"c\.pt: the adapter is not in safetensors format"):
        find_adapter(tmp_path / "c.pt")
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/adapter_config.json").touch()
    assert find_adapter(tmp_path) == {"unet": tmp_path / "unet"}


# -- in an experiment ------------------------------------------------------------------------------------------------


def test_a_model_with_an_adapter_is_checked_hashed_and_recognised(sd, tmp_path):
    changes = random_changes(DiffusionPipeline.from_pretrained(sd), UNET)
    folder = save_diffusers(tmp_path / "adapter", changes)
    base = {"name": "base", "generator": "diffusers", "checkpoint": {"path": str(sd)}, "dtype": "float32"}
    tuned = base | {"name": "tuned", "adapter": {"path": str(folder), "scales": [0, 0.5, 1]}}
    tried = experiment(tmp_path, models=[base, tuned], guidance_scales=[3])
    assert tried.model_names == ["base", "tuned@0.5", "tuned"]
    found = {name: check_model(tried, name, []) for name in tried.model_names}
    assert found["tuned"]["digest"] == found["tuned@0.5"]["digest"] != found["base"]["digest"]
    assert set(found["tuned"]["files"]) == {"checkpoint", "adapter"}
    assert is_unchanged(tried, found["tuned"], [])
    generators = {arm.model: load_generator(tried, arm) for arm in tried.arms()}
    scales = {
        name: {m.scaling["emudrift"] for m in g.pipeline.unet.modules() if hasattr(m, "lora_A")}
        for name, g in generators.items()
    }
    assert scales == {"base": set(), "tuned@0.5": {1.0}, "tuned": {2.0}}  # alpha / rank is 2
    elsewhere = shutil.move(folder / "pytorch_lora_weights.safetensors", tmp_path / "moved.safetensors")
    moved = experiment(tmp_path, models=[base, tuned | {"adapter": {"path": str(elsewhere)}}])
    assert check_model(moved, "tuned", [])["digest"] == found["tuned"]["digest"]
    changed(elsewhere, lambda t: t.update({A: -t[A]}))
    assert not is_unchanged(moved, found["tuned"], [])
    changed(elsewhere, lambda t: t.pop(A))
    with pytest.raises(InputError, match="1 of the adapter's weights are missing"):
        check_model(moved, "tuned", [])


def test_a_fully_fine_tuned_network_stands_in_place_of_the_pipelines_own(sd, expected, tmp_path):
    changes, wanted = expected[str(UNET)]
    merge(DiffusionPipeline.from_pretrained(sd), changes, 1).unet.save_pretrained(tmp_path / "run/unet")
    base = {"name": "base", "generator": "diffusers", "checkpoint": {"path": str(sd)}, "dtype": "float32"}
    models = [base, *(base | {"name": name, "network": {"path": str(tmp_path / name)}} for name in ("run", "run/unet"))]
    models[2]["name"] = "again"
    tried = experiment(tmp_path, models=models, guidance_scales=[3])
    found = {name: check_model(tried, name, []) for name in tried.model_names}
    assert found["run"]["digest"] == found["again"]["digest"] != found["base"]["digest"]
    assert is_unchanged(tried, found["run"], [])
    plain, tuned, again = (arm.settings for arm in tried.arms())
    assert set(tuned) - set(plain) == {"network"}
    assert tried.model("run").image_settings(tuned) == tried.model("again").image_settings(again)
    loaded = load_generator(tried, tried.arms()[1])
    generator = DiffusersGenerator(SETTINGS, sd, network=("unet", tmp_path / "run/unet"))
    assert torch.equal(loaded.pipeline.unet.conv_in.weight, generator.pipeline.unet.conv_in.weight)
    assert np.array_equal(few(generator), wanted[1])
    (tmp_path / "run/unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"run/unet: no weights in safetensors format"):
        check_model(tried, "run", [])
    shutil.rmtree(tmp_path / "run/unet")
    with pytest.raises(
        InputError, match=r"run: has no config\.json, and no folder unet with one, so it is not a network"
    ):
        check_model(tried, "run", [])


def test_a_network_of_another_pipeline_is_refused_before_anything_is_generated(sd, flux, tmp_path):
    base = {"name": "base", "generator": "diffusers", "checkpoint": {"path": str(sd)}, "dtype": "float32"}
    shutil.copytree(sd / "unet", tmp_path / "wide")
    settings = json.loads((sd / "unet/config.json").read_text())
    (tmp_path / "wide/config.json").write_text(json.dumps(settings | {"addition_embed_type": "text_time"}))
    for path, said in (
        (flux / "transformer", "_class_name is 'FluxTransformer2DModel', and 'UNet2DConditionModel' in "),
        (tmp_path / "wide", "addition_embed_type is 'text_time', and None in "),
    ):
        tried = experiment(tmp_path, models=[base | {"network": {"path": str(path)}}], guidance_scales=[3])
        with pytest.raises(
            InputError, match=re.escape(f"{path}/config.json: {said}{sd}/unet, which this network stands")
        ):
            check_model(tried, "base", [])
