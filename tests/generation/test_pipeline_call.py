"""Arguments, guidance, scheduler and safety checker of a pipeline: diffusers' own images, and nothing ignored in silence."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import emudrift.runtime.torchvision_fix  # noqa: F401  (before diffusers)

import diffusers
import numpy as np
import pytest
import torch
from conftest import experiment
from tiny_pipeline import tiny_flux, tiny_pipeline, tiny_sd3, tiny_sdxl

from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.features.check import point_out_cut_captions
from emudrift.generation.diffusers import call as call_module
from emudrift.generation.diffusers.call import call_of
from emudrift.generation.diffusers.check import load_index
from emudrift.generation.diffusers.generator import DiffusersGenerator
from emudrift.generation.interface import Batching
from emudrift.generation.registry import check_model, cut_captions

PROMPTS = [Prompt(n, f"{n:012d}", n, f"{n}.png", 8, 8, f"a red {n}", 2**63 + 7919 * n) for n in range(3)]
MODEL = {"name": "sd", "generator": "diffusers"}
TINY = {"sd": tiny_pipeline, "sdxl": tiny_sdxl, "sd3": tiny_sd3, "flux": tiny_flux}


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pipelines")
    made = {name: make(folder / name) for name, make in TINY.items()}
    schnell = tiny_flux(folder / "schnell", guidance_embeds=False)
    return made | {"schnell": schnell, "checked": tiny_pipeline(folder / "checked", threshold=0.37)}


def of(folder: Path, **changes: Any) -> dict[str, Any]:
    return MODEL | {"checkpoint": {"path": str(folder)}, "steps": 2, "dtype": "float32", "suffix": ""} | changes


def settings_of(tmp_path: Path, folder: Path, scale: float | None = 3, **changes: Any) -> dict[str, Any]:
    """Of the arm at a guidance scale, as the config gives them."""
    small = {"width": 32, "height": 32, "dtype": "float32", "suffix": "", "negative_prompt": ""}
    scales = [1.0 if scale is None else scale]
    made = experiment(tmp_path, models=[of(folder, **changes)], guidance_scales=scales, generation=small)
    (arm,) = made.arms()
    assert arm.guidance_scale == scale
    return arm.settings


def refused(tmp_path: Path, folder: Path, scales: list[float] | None = None, **changes: Any) -> str:
    """What `check` says of a model, which loads no weights."""
    small = {"width": 32, "height": 32, "dtype": "float32", "suffix": "", "negative_prompt": ""}
    made = experiment(tmp_path, models=[of(folder, **changes)], guidance_scales=scales or [3], generation=small)
    with pytest.raises(InputError) as error:
        check_model(made, "sd", [])
    assert "\n" not in str(error.value)
    return str(error.value)


def is_that_of_diffusers(
    settings: dict[str, Any], folder: Path, scheduler: Any = None, **call: Any
) -> list[np.ndarray]:
    """Compares all images with those that diffusers itself draws one at a time, and returns them."""
    generator = DiffusersGenerator(settings, folder)
    generator.batching = Batching(2, 0)
    found = [each.image for at in (0, 2) for each in generator.generate(PROMPTS[at : at + 2])]
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    if scheduler is not None:
        pipeline.scheduler = scheduler(pipeline.scheduler.config)
    for prompt, image in zip(PROMPTS, found, strict=True):
        random = torch.Generator().manual_seed(prompt.seed)
        common = {"num_inference_steps": 2, "width": 32, "height": 32, "generator": random}
        expected = np.asarray(pipeline(prompt=prompt.caption, **(common | call)).images[0])
        # In float32 sums may be added up in another order: a rounding can move one step of 255, and no more.
        assert np.abs(image.astype(int) - expected).max() <= 1
    return found


# -- arguments of the call -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("sd", {"guidance_rescale": 0.7, "eta": 0.5}),
        ("sdxl", {"original_size": [64, 64], "guidance_rescale": 0.5}),
        ("sd3", {"skip_guidance_layers": [0], "skip_layer_guidance_start": 0.0, "skip_layer_guidance_stop": 1.0}),
        ("flux", {"true_cfg_scale": 4.0}),
    ],
)
def test_any_argument_of_the_call_reaches_it_and_gives_the_images_of_diffusers(pipelines, tmp_path, name, call):
    folder = pipelines[name]
    negative = {"negative_prompt": "blue"} if name == "flux" else {}
    settings = settings_of(tmp_path, folder, call=call, **negative)
    given = {key: tuple(value) if key == "original_size" else value for key, value in call.items()}
    found = is_that_of_diffusers(settings, folder, guidance_scale=3, **given, **negative)
    plain = DiffusersGenerator({key: value for key, value in settings.items() if key != "call"}, folder)
    plain.batching = Batching(2, 0)
    assert any(not np.array_equal(a, b.image) for a, b in zip(found[:2], plain.generate(PROMPTS[:2]), strict=True))


def test_a_config_that_says_nothing_keeps_its_fingerprint_and_one_that_does_has_another(tmp_path):
    """Written down from the version before these settings."""
    before = settings_of(tmp_path, Path("x"))
    assert set(before) == {
        "seed", "caption", "generator", "device", "checkpoint", "width", "height", "steps", "dtype", "variant", "custom_pipeline",
        "guidance_scale", "suffix", "negative_prompt",
    }  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"call": {"eta": 0.5}},
        {"guidance_argument": "true_cfg_scale"},
        {"scheduler": {"name": "DDPMScheduler"}},
        {"safety_checker": False},
    ]
    for change in changes:
        (key,) = change
        assert settings_of(tmp_path, Path("x"), **change) == before | change | (
            {"scheduler": {"name": "DDPMScheduler", "settings": {}}} if key == "scheduler" else {}
        )
    del (given := of(Path("x")))["steps"]
    small = {"width": 32, "height": 32, "dtype": "float32", "suffix": "", "negative_prompt": ""}
    made = experiment(
        tmp_path, models=[given | {"call": {"num_inference_steps": 7}}], generation=small, guidance_scales=[3]
    )
    assert made.arms()[0].settings == before | {"steps": 7}, "the same as steps: 7"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"prompt": "x"}, "sd: call: prompt: emudrift sets this argument: it is the caption"),
        ({"height": 8}, "call: height: emudrift sets this argument: use height of generation"),
        ({"guidance_scale": 2}, "call: guidance_scale: emudrift sets this argument: use guidance_scales"),
        ({"generator": 1}, "call: generator: emudrift sets this argument: each image has its own, from seed"),
        ({"prompt_embeds": [1]}, "call: prompt_embeds: belongs to single images"),
        ({"num_inference_steps": 2}, "give either steps or call: num_inference_steps"),
        (
            {"num_inference_steps": "four"},
            "num_inference_steps: expected a whole number of steps, 1 or more, found 'four'",
        ),
        ({"num_inference_steps": 0}, "num_inference_steps: expected a whole number of steps, 1 or more, found 0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_emudrift_sets_itself_is_refused_with_the_place_where_it_belongs(tmp_path, call, said):
    with pytest.raises(InputError, match=said.removeprefix("sd: ")):
        experiment(tmp_path, models=[of(Path("x"), call=call)])


def test_names_are_checked_before_any_weight_is_loaded(pipelines, tmp_path):
    said = refused(tmp_path, pipelines["flux"], call={"true_cfg": 4})
    assert said == (
        "models: sd: call: true_cfg: its pipeline FluxPipeline takes no such argument; did you mean 'true_cfg_scale'?"
    )
    assert "it takes prompt, height, width," in refused(tmp_path, pipelines["sd"], call={"zzz": 1})
    said = refused(tmp_path, pipelines["sd"], guidance_argument="true_cfg_scale")
    assert (
        "StableDiffusionPipeline does not accept true_cfg_scale; say guidance_argument: guidance_scale or none" in said
    )


def test_a_pipeline_of_the_checkpoints_own_code_is_read_and_not_run(tmp_path):
    call = "__call__(self, inputs, num_inference_steps, width, height, guidance_scale)"
    (tmp_path / "own.py").write_text(f"open('it ran', 'w')\nclass Own:\n    def {call}: ...")
    call = call_of(tmp_path, {"_class_name": "Own"}, "own")
    assert list(call.parameters) == ["inputs", "num_inference_steps", "width", "height", "guidance_scale"]
    settings = {"steps": 2, "width": 8, "height": 8, "guidance_scale": 3.0, "call": {"input": 1}}
    with pytest.raises(InputError, match="call: input: its pipeline Own takes no such argument; did you mean 'inputs'"):
        call.arguments(settings)
    assert not Path("it ran").exists()


# -- guidance --------------------------------------------------------------------------------------------------------


def test_a_flux_without_guidance_is_refused_with_several_scales_and_makes_one_arm_where_that_is_said(
    pipelines, tmp_path
):
    folder = pipelines["schnell"]
    assert refused(tmp_path, folder, [1, 3, 5]) == (
        "models: sd: its pipeline FluxPipeline ignores guidance_scale (its network is distilled), so the arms at guidance 1, "
        "3 and 5 would be the same images; say guidance_argument: none (one arm without a scale) or true_cfg_scale"
    )
    made = experiment(tmp_path, models=[of(folder, guidance_argument="none")], guidance_scales=[1, 3, 5])
    assert [arm.guidance_scale for arm in made.arms()] == [None]
    assert check_model(made, "sd", [])["digest"]
    is_that_of_diffusers(settings_of(tmp_path, folder, None, guidance_argument="none"), folder)


def test_true_guidance_of_a_flux_is_that_of_diffusers_with_an_empty_negative_prompt_too(pipelines, tmp_path):
    folder, argument = pipelines["schnell"], {"guidance_argument": "true_cfg_scale"}
    made = experiment(tmp_path, models=[of(folder, **argument)], guidance_scales=[1, 3])
    assert check_model(made, "sd", [])["digest"]
    guided = is_that_of_diffusers(
        settings_of(tmp_path, folder, **argument), folder, true_cfg_scale=3, negative_prompt=""
    )
    alone = is_that_of_diffusers(settings_of(tmp_path, folder, 1, **argument), folder, true_cfg_scale=1)
    assert any(not np.array_equal(a, b) for a, b in zip(guided, alone, strict=True))


def test_a_negative_prompt_that_is_ignored_is_refused(pipelines, tmp_path):
    negative = {"negative_prompt": "blurry"}
    assert refused(tmp_path, pipelines["flux"], **negative) == (
        'models: sd: its pipeline FluxPipeline ignores negative_prompt, since its guidance is distilled; set negative_prompt: "" '
        "for this model"
    )
    made = experiment(tmp_path, models=[of(pipelines["flux"], call={"true_cfg_scale": 2}, **negative)])
    assert check_model(made, "sd", [])["digest"]


@pytest.mark.parametrize("guided", [True, False], ids=["distilled", "not distilled"])
def test_the_argument_that_carries_guidance_is_known_for_the_class(guided):
    """Qwen-Image calls it true_cfg_scale; its guidance_scale is for distilled networks alone."""
    kind = diffusers.QwenImagePipeline
    folder_index = {"_class_name": kind.__name__}
    call = call_of(Path("/nowhere"), folder_index, None)
    call = replace(call, configs={"transformer": {"guidance_embeds": guided}})
    settings = {"steps": 2, "width": 8, "height": 8, "guidance_scale": 4.0}
    assert call.arguments(settings)["true_cfg_scale"] == 4.0
    assert call.arguments(settings)["negative_prompt"] == "", "without one, diffusers would switch guidance off"
    assert not call.ignores_guidance(settings)
    assert call.ignores_guidance(settings | {"guidance_argument": "guidance_scale"}) is not guided


def test_a_consistency_model_whose_network_embeds_guidance_ignores_negative_prompts(pipelines, tmp_path):
    index = load_index(pipelines["sd"])
    call = call_of(pipelines["sd"], index, None)
    assert not call.ignores_negative_prompt({})
    configs = {"unet": {"time_cond_proj_dim": 256}}
    assert replace(call, configs=configs).ignores_negative_prompt({})


# -- scheduler -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("sd", {"name": "EulerDiscreteScheduler", "settings": {"timestep_spacing": "trailing"}}),
        ("sdxl", {"settings": {"timestep_spacing": "trailing"}}),
        ("flux", {"settings": {"shift": 2.0}}),
    ],
)
def test_another_scheduler_gives_the_images_of_diffusers_with_it(pipelines, tmp_path, name, scheduler):
    folder = pipelines[name]

    def made(config: Any) -> Any:
        kind = getattr(diffusers, scheduler.get("name", config["_class_name"]))
        return kind.from_config(config, **scheduler["settings"])

    is_that_of_diffusers(settings_of(tmp_path, folder, scheduler=scheduler), folder, made, guidance_scale=3)


@pytest.mark.parametrize(
    ("name", "scheduler", "said"),
    [
        (
            "sd",
            {"name": "EulerDiscretScheduler"},
            "has no scheduler 'EulerDiscretScheduler'; did you mean 'EulerDiscreteScheduler'",
        ),
        ("sd", {"name": "UNet2DConditionModel"}, "has no scheduler 'UNet2DConditionModel'"),
        (
            "sd",
            {"settings": {"timestep_spacin": "x"}},
            "DDIMScheduler has no such setting; did you mean 'timestep_spacing'",
        ),
        (
            "sd",
            {"name": "FlowMatchEulerDiscreteScheduler"},
            "does not fit the pipeline, whose network was trained for denoising",
        ),
        ("flux", {"name": "DDIMScheduler"}, "does not fit the pipeline, whose network was trained for flow matching"),
        (
            "flux",
            {"name": "FlowMatchHeunDiscreteScheduler"},
            "the pipeline, which gives its scheduler the noise levels",
        ),
        ("sd", {"settings": {"beta_schedule": "x"}}, "scheduler: DDIMScheduler: x is not implemented"),
    ],
)
def test_a_scheduler_that_does_not_fit_is_refused_before_any_weight_is_loaded(
    pipelines, tmp_path, name, scheduler, said
):
    found = refused(tmp_path, pipelines[name], scheduler=scheduler)
    assert found.startswith("models: sd: scheduler: ")
    assert said in found


# -- safety checker --------------------------------------------------------------------------------------------------


def test_without_its_safety_checker_no_image_is_replaced(pipelines, tmp_path):
    folder = pipelines["checked"]
    settings = settings_of(tmp_path, folder)
    found = [DiffusersGenerator(each, folder) for each in (settings, settings | {"safety_checker": False})]
    replaced, all_drawn = (list(generator.generate(PROMPTS)) for generator in found)
    assert any(each.flagged for each in replaced), "the test needs one"
    assert not any(each.flagged for each in all_drawn)
    for one, other in zip(replaced, all_drawn, strict=True):
        assert np.array_equal(one.image, other.image) is not one.flagged
    index = json.loads((folder / "model_index.json").read_text())
    assert index["safety_checker"][1] == "StableDiffusionSafetyChecker"


# -- captions, warnings ----------------------------------------------------------------------------------------------


def test_captions_that_a_text_encoder_cuts_are_counted_by_encoder_and_are_those_that_diffusers_cuts(
    pipelines, tmp_path, caplog
):
    """A letter is a token here: CLIP reads 75 of them, and T5 what the call says."""
    long = [replace(PROMPTS[0], caption="a" * letters) for letters in (75, 76, 300)]
    expected = {
        "sd": {"tokenizer (77 tokens)": 2},
        "sdxl": {"tokenizer (77 tokens)": 2, "tokenizer_2 (77 tokens)": 2},
        "sd3": {"tokenizer (77 tokens)": 2, "tokenizer_2 (77 tokens)": 2, "tokenizer_3 (256 tokens)": 1},
        "flux": {"tokenizer (77 tokens)": 2},
    }
    for name, found in expected.items():
        made = experiment(tmp_path, models=[of(pipelines[name], negative_prompt="")], guidance_scales=[3])
        assert cut_captions(made, made.arms()[0], long) == found, name
        assert cut_captions(made, made.arms()[0], PROMPTS) == {}
    changes = {"call": {"max_sequence_length": 100}, "suffix": "a"}
    made = experiment(tmp_path, models=[of(pipelines["flux"]) | changes], guidance_scales=[3])
    found = {"tokenizer (77 tokens)": 3, "tokenizer_2 (100 tokens)": 1}
    assert cut_captions(made, made.arms()[0], long) == found
    assert point_out_cut_captions(made, long) == {made.arms()[0].name: found}
    assert "sd: of 3 captions, tokenizer (77 tokens) cuts 3 and tokenizer_2 (100 tokens) cuts 1; what" in caplog.text
    generator = DiffusersGenerator(settings_of(tmp_path, pipelines["sd"]), pipelines["sd"])
    for caption, is_cut in zip(long, (False, True, True), strict=True):
        caplog.clear()
        list(generator.generate([caption]))
        assert ("diffusers: The following part of your input was truncated" in caplog.text) is is_cut
    assert generator.warnings() == [], "counted, and not told twice"


def test_warnings_reach_the_log_once_and_those_about_images_the_manifest(pipelines, caplog):
    settings = {"steps": 2, "width": 32, "height": 32, "guidance_scale": 3.0, "suffix": "", "dtype": "float32"}
    settings |= {"variant": None, "custom_pipeline": None, "device": "cpu"}
    generator = DiffusersGenerator(settings, pipelines["sd"])
    log = diffusers.utils.logging.get_logger("diffusers.pipelines.any")
    for _ in range(2):
        log.warning("guidance_scale is passed as 3,\n but ignored since the model is not guidance-distilled.")
        log.warning("A matching Triton is not available")
    told = "diffusers: guidance_scale is passed as 3, but ignored since the model is not guidance-distilled."
    assert caplog.text.count(told) == caplog.text.count("matching Triton") == 1
    assert generator.warnings() == [told]


def test_captions_are_cleaned_or_the_check_says_what_is_missing(monkeypatch):
    call = call_of(Path("/nowhere"), {"_class_name": "PixArtSigmaPipeline"}, None)
    settings = {"steps": 2, "width": 8, "height": 8, "guidance_scale": 4.0}
    monkeypatch.setattr(call_module, "find_spec", lambda module: None)
    with pytest.raises(InputError) as error:
        call.check([settings])
    assert str(error.value) == (
        "its pipeline PixArtSigmaPipeline cleans captions, for which ftfy and beautifulsoup4 must be installed: pip install ftfy "
        "beautifulsoup4, or set call: {clean_caption: false}"
    )
    call.check([settings | {"call": {"clean_caption": False}}])
    monkeypatch.setattr(call_module, "find_spec", lambda module: module)
    call.check([settings])
