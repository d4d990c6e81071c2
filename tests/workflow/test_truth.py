"""The miniature's truth: what its pictures really show, judged apart from any feature, and the verdict on them."""

import hashlib
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, arm_name, small_config

from emudrift.evaluation.tables import COMPARISON_COLUMNS, FID_COLUMNS, load_table
from emudrift.generation.archives import read_archive
from emudrift.report.answer.verdict import verdict

sys.path.insert(0, str(ROOT / "demo"))

import scenes

pytestmark = pytest.mark.slow
N = 200
TABLES = ("results/small/fid.csv", "results/small/comparison.csv")


@pytest.fixture(scope="module")
def judged(new_workflow):
    """Base and fine-tuned at guidance 3, seen with all real images as reference and with those of the same captions."""
    workflow = new_workflow("truth")
    config = small_config(
        guidance_scales=[3],
        sample_sizes=[N],
        shard_size=N,
        reference={"images": "dataset", "selection": "both"},
        resources={"generation_batch_size": 50, "feature_batch_size": 4},
    )
    workflow.config = workflow.write_config(config)
    workflow.snakemake(*TABLES, "--quiet", "rules", config=workflow.config)
    workflow.results = workflow.folder / "results/small"
    return workflow


def asked(caption: str) -> scenes.Scene:
    facts = scenes.read_caption(caption)
    shapes = []
    for words in facts.shapes:
        size, color, shape = words.split()
        shapes.append(scenes.Shape(color, shape, size, 0, 0, 0, (0, 0, 0)))
    place, relation = (facts.where, None) if facts.where in scenes.PLACES else (None, facts.where)
    return scenes.Scene(facts.bg, (0, 0, 0), tuple(shapes), place, relation)


def share_right(workflow, model: str) -> float:
    """Share of a model's pictures that show all that their captions ask for."""
    prompts = pd.read_parquet(next(workflow.results.glob("prompts-*.parquet"))).set_index("prompt_id")["caption"]
    archives = sorted((workflow.results / "images" / arm_name(workflow, f"{model}-cfg3")).glob("*.tar"))
    right = [
        scenes.check(np.asarray(image), asked(prompts[prompt_id]))["all"]
        for archive in archives
        for prompt_id, image in read_archive(archive)
    ]
    assert len(right) == N
    return float(np.mean(right))


def test_the_verdict_names_the_checkpoint_whose_pictures_are_really_worse(judged):
    base, finetuned = share_right(judged, "base"), share_right(judged, "finetuned")
    assert finetuned < base - 0.1, "the fine-tuned miniature shows less of what it is asked for"
    comparison = load_table(judged.results / "comparison.csv", COMPARISON_COLUMNS)
    fid = load_table(judged.results / "fid.csv", FID_COLUMNS)
    answer = verdict(comparison, fid, "base")
    assert answer.headline.startswith("finetuned is worse than base at guidance 3")
    assert (comparison["low_simultaneous"] > 0).all()
    assert (comparison["p_adjusted"] < 0.05).all()


def test_both_references_are_there_and_what_they_change_is_told(judged):
    table = load_table(judged.results / "fid.csv", FID_COLUMNS)
    assert sorted(zip(table["model"], table["reference_selection"], table["reference_n"], strict=True)) == [
        ("base", "full", 600),
        ("base", "same", N),
        ("finetuned", "full", 600),
        ("finetuned", "same", N),
    ]
    answer = verdict(load_table(judged.results / "comparison.csv", COMPARISON_COLUMNS), table, "base")
    assert "using the 200 real images of the same captions instead of all real images" in answer.text()
    assert "is consistent across references: above 0" in answer.text()


def test_a_second_reference_is_computed_beside_the_first_and_reruns_nothing_of_it(judged):
    assert judged.planned(*TABLES, config=judged.config) == {}
    config = judged.config.read_text().replace("selection: both", "selection: full")
    plan = judged.planned(*TABLES, config=judged.write_config(yaml.safe_load(config), "full.yaml"))
    assert set(plan) == {"collect", "compare"}


def test_the_archives_are_those_of_every_earlier_run(judged):
    """The list holds until a change that is meant to change images. Another processor may round otherwise."""
    listed = dict(reversed(line.split()) for line in (ROOT / "tests/demo/sha256.txt").read_text().splitlines())
    made = {path.relative_to(judged.results).as_posix(): path for path in judged.results.glob("images/*/*.tar")}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in made.items()} == listed
