"""Arms whose images are byte-identical stop the run, whatever the generator, unless the config calls one of them a control."""

import shutil

import pytest
from conftest import MINIATURE, Workflow
from conftest import experiment as small_experiment
from painters import DIGEST, RECORD, Group
from safetensors.torch import load_file, save_file

from emudrift.config.experiment import Experiment
from emudrift.data.dataset import write_prompt_table
from emudrift.errors import InputError
from emudrift.generation import identical_arms as identical_arms_module
from emudrift.generation.identical_arms import failed_controls, identical_arms
from emudrift.generation.manifest import load_manifests
from emudrift.generation.record_model import record_model
from emudrift.generation.run_shard import run_shard
from emudrift.runtime.json_files import write_json

FIRST = {"name": "base", "generator": "command", "command": ["draw", "{prompts}", "{output}"]}
OTHER = {"name": "other", "generator": "folder", "images": "elsewhere"}


@pytest.fixture
def group(tmp_path, monkeypatch) -> Group:
    """Its generator draws the same noise for every arm."""
    return Group(tmp_path, monkeypatch)


def test_the_arm_that_ends_last_stops_the_run_and_nothing_more_of_either_is_generated(group):
    made = group.experiment()
    group.run(made)
    with pytest.raises(InputError) as error:
        group.run(made, arm=1)
    assert str(error.value) == (
        "base, guidance 3 and finetuned, guidance 3: the first 10 images of both are byte-identical, so comparing them would "
        "say nothing: the adapter of finetuned was never applied, or changes nothing. Correct it, or say identical_to: base for "
        "finetuned if it is a control"
    )
    drawn = group.asked
    for arm in (0, 1):
        for shard in (0, 1):  # A first shard that is run again is complete, and refused again.
            with pytest.raises(InputError, match="byte-identical"):
                group.run(made, shard, arm)
    assert group.asked == drawn


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        ([FIRST, FIRST | {"name": "other"}], "both are the same model with the same settings, under two names"),
        ([OTHER | {"name": "base"}, OTHER], "both take the same files"),
        ([FIRST, OTHER], "both are the same model"),
        ([FIRST | {"guidance_scale": "each"}], "base ignores its guidance scale. Correct it$"),
    ],
    ids=["command", "folder", "both", "guidance"],
)
def test_whatever_the_generator(group, models, reason):
    made = group.experiment(models=models, guidance_scales=[1, 3])
    group.run(made)
    with pytest.raises(InputError, match=reason):
        group.run(made, arm=1)


@pytest.mark.parametrize("which", [0, 1])
def test_a_control_is_allowed_and_named(group, which):
    models = [FIRST, OTHER]
    models[which] = models[which] | {"identical_to": models[1 - which]["name"]}
    made = group.experiment(models=models)
    for arm in (0, 1):
        for shard in (0, 1):
            group.run(made, shard, arm)
    assert identical_arms(made, load_manifests(made.manifests())) == {frozenset(arm.name for arm in made.arms())}
    assert made.arms()[which].name == group.experiment(models=[FIRST, OTHER]).arms()[which].name, (
        "no part of a fingerprint"
    )
    with pytest.raises(InputError, match="identical_to: 'nobody' is no other model that generates images; there are"):
        group.experiment(models=[FIRST, OTHER | {"identical_to": "nobody"}])


def test_the_last_word_is_that_of_the_tables(group):
    """Jobs that end at the same moment on machines that do not see each other's files; and a control that is none."""
    made = group.experiment(models=[FIRST, OTHER | {"identical_to": "base"}])
    for arm in (0, 1):
        for shard in (0, 1):
            group.run(made, shard, arm)
    manifests = load_manifests(made.manifests())
    with pytest.raises(InputError, match="byte-identical"):
        identical_arms(group.experiment(models=[FIRST, OTHER]), manifests)
    changed = [m if m.rows[0] == 0 or m.arm != made.arms()[1].name else _with_other_images(m) for m in manifests]
    assert identical_arms(made, changed) == set(), "one image of a later shard differs"
    assert failed_controls(made, manifests) == []
    assert failed_controls(made, changed) == [(made.arms()[1], "base", 1)]


def _with_other_images(manifest):
    first = min(manifest.sha256)
    return manifest.model_copy(update={"sha256": manifest.sha256 | {first: "0" * 64}})


def test_another_shard_than_the_first_is_enough_where_it_has_enough_images(group, monkeypatch):
    """Jobs do not run in the order of the rows."""
    made = group.experiment()
    group.run(made, 1)
    group.run(made, 1, arm=1)  # Ten images may be equal for a weak adapter.
    monkeypatch.setattr(identical_arms_module, "ENOUGH", 10)
    with pytest.raises(InputError, match="the images of rows 10 to 20 of both are byte-identical"):
        group.run(made, 0)


def test_a_manifest_of_another_arm_that_is_damaged_is_no_fault_of_this_one(group):
    made = group.experiment()
    group.run(made)
    kept = made.paths.kept_manifest(made.arms()[0].name, made.shards()[0].name)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-9])
    group.run(made, arm=1)
    kept.write_bytes(whole)
    with pytest.raises(InputError, match="byte-identical"):
        group.run(made, arm=1)


def test_an_adapter_that_was_corrected_in_its_place_is_not_compared_by_its_old_images(group):
    made = group.experiment()
    group.run(made)
    with pytest.raises(InputError, match="byte-identical"):
        group.run(made, arm=1)
    record = {"digest": "e" * 64, "revisions": {}, "model": "finetuned"} | RECORD
    write_json(made.paths.model_record("finetuned"), record)
    assert group.run(made, 1) == 10
    write_json(made.paths.model_record("finetuned"), record | {"digest": DIGEST})
    with pytest.raises(InputError, match="byte-identical"):
        group.run(made, 1)


def test_the_miniature_with_an_adapter_that_does_nothing(finished: Workflow, tmp_path):
    adapter = shutil.copytree(MINIATURE / "finetuned", tmp_path / "nothing")
    weights = load_file(adapter / "adapter_model.safetensors")
    for name, weight in weights.items():
        if "lora_B" in name:
            weight.zero_()
    assert any("lora_B" in name for name in weights)
    save_file(weights, adapter / "adapter_model.safetensors")
    base = {"name": "base", "generator": "emu3", "checkpoint": {"path": "demo/models/base"}}
    config = finished.folder / "nothing.yaml"
    small_experiment(
        tmp_path, name="nothing", models=[base, base | {"name": "tuned", "adapter": {"path": str(adapter)}}]
    )
    shutil.copy(tmp_path / "config.yaml", config)
    made = Experiment.load(config)
    write_prompt_table(made)
    for model in made.model_names:
        record_model(made, model)
    arms = [arm for arm in made.arms() if arm.guidance_scale == 3]
    run_shard(made, arms[0], made.shards()[0], 8)  # Taken from the finished experiment.
    with pytest.raises(InputError, match="the adapter of tuned was never applied, or changes nothing"):
        run_shard(made, arms[1], made.shards()[0], 8)
