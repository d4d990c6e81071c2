"""One entry of `models:` as several: adapters at several strengths, and the checkpoints of a training run."""

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import experiment, small_config

from emudrift.config.adapters import Checkpoints, PipelineAdapter
from emudrift.config.experiment import Experiment
from emudrift.config.models import Emu3Model
from emudrift.config.reader import load_config, parse_config
from emudrift.data.training_runs import write_list
from emudrift.errors import InputError

BASE, FINETUNED = small_config()["models"]


def finetuned(**adapter: Any) -> dict[str, Any]:
    return FINETUNED | {"adapter": FINETUNED["adapter"] | adapter}


def scaled(tmp_path: Path, *scales: float) -> Experiment:
    return experiment(tmp_path, models=[BASE, finetuned(scales=list(scales))], guidance_scales=[2])


def test_every_scale_is_an_arm_at_every_guidance_scale(tmp_path):
    found = experiment(tmp_path, models=[BASE, finetuned(scales=[0.25, 0.5, 1])], guidance_scales=[1, 2])
    arms = found.arms()
    assert [arm.label for arm in arms[2:]] == [
        "finetuned@0.25, guidance 1",
        "finetuned@0.25, guidance 2",
        "finetuned@0.5, guidance 1",
        "finetuned@0.5, guidance 2",
        "finetuned, guidance 1",
        "finetuned, guidance 2",
    ]
    assert [arm.adapter_scale for arm in arms] == [None, None, 0.25, 0.25, 0.5, 0.5, 1, 1]
    assert [arm.family for arm in arms] == ["base"] * 2 + ["finetuned"] * 6
    assert re.fullmatch(r"finetuned@0\.5-cfg2-[0-9a-f]{12}", arms[5].name)
    assert len({arm.fingerprint for arm in arms}) == len(arms)
    assert found.compared_models == ["finetuned@0.25", "finetuned@0.5", "finetuned"]


def test_full_strength_keeps_names_fingerprints_and_records_of_arms_without_a_scale(tmp_path):
    plain = experiment(tmp_path)
    for each in (finetuned(scale=1), finetuned(scales=[0.5, 1])):
        found = experiment(tmp_path, models=[BASE, each])
        ours = [arm for arm in found.arms() if arm.adapter_scale != 0.5]
        assert ours == plain.arms()
        assert found.model("finetuned").model_dump_json() == plain.model("finetuned").model_dump_json()
    assert "adapter_scale" not in ours[-1].settings
    assert "scale" not in plain.model("finetuned").model_dump_json()


def test_a_scale_is_part_of_what_makes_images_the_same(tmp_path):
    arms = scaled(tmp_path, 0.25, 0.5).arms()[1:]
    model = scaled(tmp_path, 0.25, 0.5).model(arms[0].model)
    assert model.image_settings(arms[0].settings) != model.image_settings(arms[1].settings)


def test_scale_0_is_the_base_model_and_not_generated_twice(tmp_path):
    assert [arm.model for arm in scaled(tmp_path, 0, 0.5).arms()] == ["base", "finetuned@0.5"]


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([finetuned(scales=[0, 0.5])], "models: finetuned: an adapter of scale 0 is its base model: add a model with"),
        (
            [BASE | {"checkpoint": {"path": "other"}}, finetuned(scale=0)],
            "models: finetuned: an adapter of scale 0 is its base model",
        ),
        ([BASE, finetuned(scales=[0.5, 0.5])], "models: [1]: adapter: scales: 0.5 is given more than once"),
        ([BASE, finetuned(scales=[0.5, 0.50000001])], "models: [1]: adapter: scales: 0.5 is given more than once"),
        ([BASE, finetuned(scales=[])], "models: [1]: adapter: scales: List should have at least 1 item"),
        ([BASE, finetuned(scale=-0.5)], "models: [1]: adapter: scale: Input should be greater than or equal to 0"),
        ([BASE, finetuned(scale=0.5, scales=[1])], "models: [1]: adapter: give either scale or scales, not both"),
        ([BASE, finetuned(scale=0.5), finetuned(scale=0.25)], "models: name finetuned is given more than once"),
        ([BASE, FINETUNED | {"name": "finetuned@0.5"}], "models: [1]: name: 'finetuned@0.5' is used in file names"),
        (
            [BASE, finetuned(scales=[0.5, 1]) | {"answers": {"vqa": "x.jsonl"}}],
            "models: finetuned: answers are those of one model, and this entry makes 2; list each separately",
        ),
        (
            [BASE, FINETUNED | {"checkpoints": {"path": "x/c-*", "list": "x/l.yaml"}}],
            "models: [1]: give either adapter or checkpoints, not both",
        ),
    ],
)
def test_scales_that_make_no_arms_are_refused(models, said):
    with pytest.raises(InputError) as error:
        parse_config(small_config(models=models), "c.yaml")
    assert str(error.value).startswith(f"c.yaml: {said}")


# --- checkpoints of a run ---


def run(tmp_path: Path, *folders: str, **checkpoints: Any) -> Path:
    """A training run with these folders, and a config that asks for its checkpoints."""
    for name in folders:
        (tmp_path / "run" / name).mkdir(parents=True)
        (tmp_path / "run" / name / "adapter_config.json").write_text("{}")
    settings = {"path": "./run/checkpoint-*", "list": "./run/checkpoints.yaml"} | checkpoints
    trained = {key: value for key, value in FINETUNED.items() if key != "adapter"} | {"checkpoints": settings}
    with pytest.raises(InputError, match="checkpoints"):
        experiment(tmp_path, models=[BASE, trained], guidance_scales=[2])
    return tmp_path / "config.yaml"


def listed(config: Path) -> Path:
    model = load_config(config, expand=False).models[1]
    assert isinstance(model, Emu3Model)
    assert model.checkpoints is not None
    return write_list(model.checkpoints, config)[0]


def test_every_checkpoint_of_a_run_is_an_arm_with_its_step(tmp_path):
    config = run(tmp_path, "checkpoint-1000", "checkpoint-200", "other-5", scales=[0.5, 1])
    listed(config)
    arms = Experiment.load(config).arms()
    assert [(arm.model, arm.step, arm.adapter_scale) for arm in arms] == [
        ("base", None, None),
        ("finetuned@step200@0.5", 200, 0.5),
        ("finetuned@step200", 200, 1),
        ("finetuned@step1000@0.5", 1000, 0.5),
        ("finetuned@step1000", 1000, 1),
    ]
    assert {arm.family for arm in arms} == {"base", "finetuned"}
    assert arms[-1].settings["adapter"] == str(tmp_path / "run" / "checkpoint-1000")


def test_the_list_alone_says_which_checkpoints_there_are(tmp_path):
    """Not the folders, which compute nodes would look for again each time; a line that is removed is an arm less."""
    config = run(tmp_path, "checkpoint-100", "checkpoint-200")
    path = listed(config)
    (tmp_path / "run" / "checkpoint-300").mkdir()
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "step: 100" not in line))
    assert [arm.step for arm in Experiment.load(config).arms()] == [None, 200]


def test_a_missing_list_names_the_command_that_writes_it(tmp_path):
    config = run(tmp_path, "checkpoint-100")
    said = f"models: finetuned: checkpoints: list: {tmp_path}/run/checkpoints.yaml is missing; write it with: "
    with pytest.raises(InputError, match=re.escape(f"{said}python scripts/list_checkpoints.py --config {config}")):
        load_config(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Input should be a valid list; expected lines like - {step: 100, path: ./run/checkpoint-100}"),
        ("[]", "is empty; write it with"),
        ("- {step: 1}", "[0]: path: Field required; expected lines like"),
        ("- {step: -1, path: x}", "[0]: step: Input should be greater than or equal to 0"),
        ("- {step: 1, path: x}\n- {step: 1, path: y}", "step 1 is there twice"),
        ("- {", "cannot be read: while parsing"),
        ("- {step: 1, path: ''}", "[0]: path: String should have at least 1 character"),
    ],
)
def test_a_list_that_is_not_one_is_refused(tmp_path, text, said):
    config = run(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints.yaml").write_text(text)
    with pytest.raises(InputError, match=re.escape(said)) as error:
        load_config(config)
    assert f"models: finetuned: checkpoints: list: {tmp_path}/run/checkpoints.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ([], r"checkpoints: path: no folder matches .*/run/checkpoint-\*"),
        (["checkpoint-last"], r"checkpoint-last: its name has no digits"),
        (
            ["checkpoint-7", "checkpoint-07"],
            r"checkpoint-7: step 7 is there twice; the other one is \./run/checkpoint-07",
        ),
    ],
)
def test_folders_that_are_no_checkpoints_are_refused(tmp_path, folders, said):
    with pytest.raises(InputError, match=said):
        listed(run(tmp_path, *folders))


def test_a_whole_model_is_no_checkpoint_of_an_adapter(tmp_path):
    config = run(tmp_path, "checkpoint-7")
    (tmp_path / "run" / "checkpoint-7" / "adapter_config.json").unlink()
    with pytest.raises(InputError, match=r"checkpoint-7: adapter_config\.json is missing: a PEFT adapter is needed"):
        listed(config)


@pytest.mark.parametrize("path", ["run/*/adapter", "run/checkpoint-100", "*/checkpoint-*"])
def test_a_pattern_has_its_star_in_the_last_name(path):
    trained = BASE | {"name": "trained", "checkpoints": {"path": path, "list": "l.yaml"}}
    with pytest.raises(InputError, match=r"models: \[0\]: checkpoints: path: needs one \* in its last name"):
        parse_config(small_config(models=[trained]), "c.yaml")


# -- pipelines -------------------------------------------------------------------------------------------------------

SD = {"name": "sd", "generator": "diffusers", "checkpoint": {"path": "sd"}}
TUNED = SD | {"name": "tuned", "adapter": {"path": "lora.safetensors", "scales": [0, 0.5, 1]}}


def test_a_pipelines_adapter_at_several_scales_is_a_model_each(tmp_path):
    found = experiment(tmp_path, models=[SD, TUNED], guidance_scales=[3])
    assert [(arm.model, arm.adapter_scale) for arm in found.arms()] == [("sd", None), ("tuned@0.5", 0.5), ("tuned", 1)]
    plain, half, full = (arm.settings for arm in found.arms())
    assert half == full | {"adapter_scale": 0.5}
    assert full == plain | {"adapter": "lora.safetensors"}
    assert found.arms()[0] == experiment(tmp_path, models=[SD], guidance_scales=[3]).arms()[0]


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (
            [SD | {"steps": 4}, TUNED],
            "models: tuned: an adapter of scale 0 is its base model: add a model with the same",
        ),
        ([TUNED | {"adapter": {"path": "a.safetensors", "weight_name": "b.safetensors"}}], "path is a file already"),
        (
            [TUNED | {"adapter": {"path": "a", "weight_name": "../b.safetensors"}}],
            "weight_name: String should match pattern",
        ),
        ([TUNED | {"adapter": {"path": "a", "weight_name": "b.bin"}}], "weight_name: String should match pattern"),
        ([TUNED | {"checkpoints": {"path": "run-*", "list": "x"}}], "give either adapter or checkpoints, not both"),
    ],
)
def test_a_pipelines_adapter_that_cannot_be_meant(tmp_path, models, said):
    with pytest.raises(InputError, match=re.escape(said)):
        experiment(tmp_path, models=models)


def test_the_checkpoints_of_a_pipelines_training_are_listed_as_diffusers_saves_them(tmp_path):
    for step in (100, 20):
        (tmp_path / f"run/checkpoint-{step}").mkdir(parents=True)
        (tmp_path / f"run/checkpoint-{step}/pytorch_lora_weights.safetensors").touch()
    runs = Checkpoints(path="./run/checkpoint-*", list="./list.yaml", scales=[0, 0.5])
    write_list(runs, tmp_path / "config.yaml")
    found = experiment(
        tmp_path, models=[SD, SD | {"name": "tuned", "checkpoints": runs.model_dump()}], guidance_scales=[3]
    )
    assert found.model_names == ["sd", "tuned@step20@0.5", "tuned@step100@0.5"]
    assert isinstance(found.model("tuned@step20@0.5").adapter, PipelineAdapter)
    (tmp_path / "run/checkpoint-7").mkdir()
    with pytest.raises(
        InputError, match=r"adapter_config\.json is missing: a PEFT adapter is needed \(of a pipeline also pytorch"
    ):
        write_list(runs, tmp_path / "config.yaml")
