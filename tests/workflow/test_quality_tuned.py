"""examples/quality_tuned_sdxl.yaml with tiny networks in place of its own: what quality tuning bought, and what it cost."""

import json
from pathlib import Path

import emudrift.runtime.torchvision_fix  # noqa: F401  (before diffusers)

import pandas as pd
import pytest
import yaml
from conftest import ROOT, Workflow, small_config
from diffusers import DiffusionPipeline
from pages import words
from pipeline_adapters import random_changes, save_kohya
from tiny_networks import tiny_clip
from tiny_pipeline import tiny_sdxl

KEPT = ("name", "baseline", "metrics", "exchange", "human_evaluation", "guidance_scales")
"""Of the example as it is; sizes, data and networks are small ones."""


@pytest.fixture(scope="module")
def tuned(new_workflow, tmp_path_factory) -> Workflow:
    folder = tmp_path_factory.mktemp("tuned")
    tiny_sdxl(folder / "sdxl")
    tiny_clip(folder / "clip")
    changes = random_changes(DiffusionPipeline.from_pretrained(folder / "sdxl"), {"unet": ("to_q", "to_v", "ff.net.2")})
    example = yaml.safe_load((ROOT / "examples/quality_tuned_sdxl.yaml").read_text())
    models = example["models"]
    for model in models:
        del model["variant"]
        model |= {"checkpoint": {"path": str(folder / "sdxl")}, "steps": 1}
    models[1]["adapter"] = {"path": str(save_kohya(folder / "lora", changes)), "scales": [0, 0.5, 1]}
    clip = {"name": "clip", "dims": 24, "checkpoint": {"path": str(folder / "clip")}}
    few = {"prompts": {"captions": "few/captions.json", "images": "few/images"}, "models": models, "sample_sizes": [20]}
    size = {"generation": {"width": 32, "height": 32, "dtype": "float32"}, "shard_size": 20}
    extractors = {"extractors": [*small_config()["extractors"], clip], "reference": {"images": "dataset"}}
    config = small_config(**{key: example[key] for key in KEPT}, **few, **size, **extractors)
    workflow = new_workflow("quality-tuned")
    workflow.config = workflow.write_config(config)
    workflow.results = workflow.folder / "results" / example["name"]
    workflow.snakemake("--quiet", "rules", config=workflow.config)
    return workflow


@pytest.mark.slow
def test_the_example_of_a_quality_tuned_pair_says_what_was_bought_and_what_it_cost(tuned):
    table = pd.read_csv(tuned.results / "exchange.csv", keep_default_na=False)
    assert table["label"].tolist() == ["base", "scale 0.5", "scale 1"], (
        "0 is the base model, of which nothing is drawn again"
    )
    assert set(table["task"]) == {"CLIPScore"}
    assert len(list((tuned.results / "images").iterdir())) == 3
    scores = pd.read_csv(tuned.results / "metrics.csv")
    scores = scores[scores["metric"] == "clip_score"].set_index("arm")["value"]
    assert table["seeing"].astype(float).tolist() == pytest.approx([scores[arm] for arm in table["arm"]])
    figure = (tuned.results / "figures/exchange.svg").read_text()
    assert "<!-- gain: CLIPScore difference from base  (right is better) -->" in figure
    page = words((tuned.results / "report.html").read_text())
    assert "tuned at scale 1" in page
    assert "lora/kohya.safetensors" in page, "where the adapter is from"
    manifests = {
        path.parent.name.split("-cfg")[0]: json.loads(path.read_text()) for path in find(tuned, "000000-000020.json")
    }
    assert manifests["tuned@0.5"]["settings"]["adapter_scale"] == 0.5
    assert (
        manifests["tuned@0.5"]["model_digest"]
        == manifests["tuned"]["model_digest"]
        != manifests["base"]["model_digest"]
    )
    assert manifests["tuned@0.5"]["sha256"] != manifests["tuned"]["sha256"] != manifests["base"]["sha256"]


def find(workflow: Workflow, name: str) -> list[Path]:
    return sorted((workflow.results / "images").glob(f"*/{name}"))
