"""Models that other software draws, as arms beside the miniature: a small experiment from captions to the report."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, Workflow, archives, small_config
from tiny_pipeline import tiny_pipeline

from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config

SHAPES = {
    "name": "shapes",
    "generator": "command",
    "command": [sys.executable, str(ROOT / "demo/draw_shapes.py"), "{prompts}", "{output}"],
}


def config_of(pipeline: Path, shapes: dict = SHAPES) -> dict:
    sd = {"name": "sd", "generator": "diffusers", "checkpoint": {"path": str(pipeline)}, "steps": 2}
    return small_config(models=[small_config()["models"][0], sd, shapes], guidance_scales=[3])


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Path:
    """With a safety checker that takes offence at some images."""
    return tiny_pipeline(tmp_path_factory.mktemp("checkpoint") / "sd", 0.37)


@pytest.fixture(scope="module")
def others(new_workflow, finished, pipeline) -> Workflow:
    """The arm of the miniature is the one that is finished."""
    workflow = new_workflow("others")
    workflow.take_over(finished.folder)
    workflow.results = workflow.folder / "results/small"
    for arm in workflow.results.glob("images/*"):
        if not arm.name.startswith("base-cfg3"):
            shutil.rmtree(arm)
    workflow.config = workflow.write_config(config_of(pipeline))
    workflow.snakemake("--quiet", "rules", config=workflow.config)
    return workflow


def manifests(workflow: Workflow, model: str) -> list[dict]:
    paths = sorted(workflow.results.glob(f"images/{model}*/0*-0*[0-9].json"))
    return [json.loads(path.read_text()) for path in paths]


def test_they_are_measured_and_compared_like_every_model(others):
    table = pd.read_csv(others.results / "fid.csv")
    assert sorted(table["model"]) == sorted(["base", "sd", "shapes"] * 2)
    assert table["fid"].notna().all()
    compared = pd.read_csv(others.results / "comparison.csv")
    assert set(compared["model"]) == {"sd", "shapes"}
    assert len(archives(others.results)) == 6
    assert not list(others.results.glob("images/*/.partial/*")), "work in progress was left behind"


def test_what_the_safety_checker_replaced_is_in_the_manifests_and_on_the_page(others):
    flagged = [prompt_id for manifest in manifests(others, "sd") for prompt_id in manifest["flagged"]]
    assert 0 < len(flagged) < 20, "the test needs both kinds"
    page = " ".join((others.results / "report.html").read_text().split())
    assert f"sd, guidance 3: its safety checker replaced {len(flagged)} images" in page.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert f"20 in 2; {len(flagged)} black (safety checker)" in page
    assert f"a safety checker replaced by black ones are counted: {len(flagged)} of sd at guidance 3." in page
    assert [manifest["flagged"] for manifest in manifests(others, "shapes")] == [[], []]
    assert [manifest["batch_size"] for manifest in manifests(others, "sd")] == [8, 8]
    assert [manifest["drawn_together"] for manifest in manifests(others, "sd")] == [{"8": 10}] * 2


def test_plan_and_a_second_run_know_that_they_are_finished(others):
    assert others.planned(config=others.config) == {}
    assert others.snakemake("plan", "--quiet", "all", config=others.config).stdout.count("20 of 20") == 3


def test_shards_made_again_are_the_same_bytes(others):
    """One of each model that other software draws."""
    before = archives(others.results)
    again = [Path(path) for path in before if not path.startswith("images/base") and "/000010-" in path]
    assert len(again) == 2
    for path in again:
        (others.results / path).unlink()
        (others.results / path).with_suffix(".json").unlink()
    targets = [f"results/small/{path.with_suffix('.json')}" for path in again]
    others.snakemake(*targets, "--quiet", "rules", config=others.config)
    assert archives(others.results) == before


def test_a_program_that_fails_is_one_error_with_its_own_words(new_workflow, pipeline, tmp_path):
    program = tmp_path / "fails.py"
    program.write_text("import sys\nsys.exit('cannot find the weights of my model')\n")
    shapes = SHAPES | {"command": [sys.executable, str(program), "{prompts}", "{output}"]}
    workflow = new_workflow("fails")
    config = workflow.write_config(config_of(pipeline, shapes) | {"models": [shapes]})
    result = workflow.snakemake(config=config, check=False)
    assert result.returncode == 1
    assert "error: models: shapes: its command ended with status 1 after 0 of 10 images" in result.stdout
    assert "error: cannot find the weights of my model" in result.stdout
    assert "Traceback" not in result.stdout


def test_a_program_that_was_edited_draws_nothing_more_until_it_was_checked_again(new_workflow, pipeline, tmp_path):
    program = Path(shutil.copy(ROOT / "demo/draw_shapes.py", tmp_path))
    shapes = SHAPES | {"command": [sys.executable, str(program), "{prompts}", "{output}"]}
    workflow = new_workflow("edited")
    config = workflow.write_config(config_of(pipeline, shapes) | {"models": [shapes]})
    workflow.snakemake("check", "--quiet", "rules", config=config)
    program.write_text(program.read_text().replace("0.22", "0.30"))
    result = workflow.snakemake(config=config, check=False)
    assert result.returncode == 1
    assert "shapes: its files have changed since check_model validated them" in result.stdout


TUNING = {"hub": "some/lora", "revision": "def", "weight_name": "x/b.safetensors"}


def test_a_pipeline_of_the_hub_is_planned_with_its_variants_and_its_code(new_workflow):
    hub = {"hub": "some/sd", "revision": "abc"}
    models = [
        {"name": "half", "generator": "diffusers", "checkpoint": hub, "variant": "fp16"},
        {"name": "own", "generator": "diffusers", "checkpoint": hub, "trust_remote_code": True},
        {"name": "tuned", "generator": "diffusers", "checkpoint": hub, "variant": "fp16", "adapter": TUNING},
        {"name": "emu3", "generator": "emu3", "checkpoint": {"hub": "some/emu3", "revision": "abc"}},
    ]
    workflow = new_workflow("hub")
    config = workflow.write_config(small_config(models=models))
    said = workflow.snakemake("--dry-run", "--printshellcmds", config=config).stdout
    lines = [line for line in said.splitlines() if "scripts/download_model.py" in line]
    # A download of its own for each: another model's part would make the first one be drawn again.
    assert len(lines) == 4
    assert any("some--sd@abc.fp16 --variant fp16 --code no --file all --output" in line for line in lines)
    assert any("some--sd@abc.code --variant none --code yes --file all --output" in line for line in lines)
    assert any("some--emu3@abc --variant none --code no --file all --output" in line for line in lines)
    of_adapter = next(line for line in lines if "--hub some/lora --revision def" in line)
    assert "some--lora@def--x--b.safetensors" in of_adapter
    assert "--file x/b.safetensors --output" in of_adapter


GUIDE = (ROOT / "docs/adding-a-model.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(models:\n.*?)```", GUIDE, re.DOTALL))
def test_every_block_of_the_guide_is_a_valid_config(block):
    config = parse_config(small_config(**yaml.safe_load(block)), "guide")
    assert Experiment(config, ROOT / "test.yaml").arms()


def test_the_guides_third_model_fits_into_the_demo():
    """The text is followed to the letter: its lines go right above the one that it names."""
    lines, *_ = re.findall(r"```yaml\n(  - name: .*?)```", GUIDE, re.DOTALL)
    demo = (ROOT / "demo/config.yaml").read_text()
    assert demo.count("# At guidance 1") == 1
    config = parse_config(yaml.safe_load(demo.replace("# At guidance 1", f"{lines}\n# At guidance 1")), "my.yaml")
    before = {arm.name for arm in Experiment(parse_config(yaml.safe_load(demo), "demo"), ROOT / "my.yaml").arms()}
    arms = Experiment(config, ROOT / "my.yaml").arms()
    assert {arm.model for arm in arms if arm.name not in before} == {"shapes"}
    assert before < {arm.name for arm in arms}


def test_missing_images_of_a_folder_are_listed_before_anything_is_drawn(new_workflow, tmp_path):
    shutil.copytree(ROOT / "demo/data/images", tmp_path / "images")
    removed = sorted((tmp_path / "images").iterdir())[::2]
    for path in removed:
        os.unlink(path)
    workflow = new_workflow()
    models = [{"name": "others", "generator": "folder", "images": str(tmp_path / "images")}]
    result = workflow.snakemake(config=workflow.write_config(small_config(models=models)), check=False)
    assert result.returncode == 1
    assert "of 20 prompts" in result.stdout
    assert any(path.stem in result.stdout for path in removed)
    assert not (workflow.folder / "results/small/images").exists()
