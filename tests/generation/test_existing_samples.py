"""What is finished stays finished: no forced, late or repeated job, and no change of a label, generates an image again."""

import json
import shutil

import pytest
from conftest import ROOT, small_config
from painters import Group, Painter, archive_of, flipped, manifest_of

from emudrift.data.prompts import load_prompts
from emudrift.errors import InputError
from emudrift.generation.batching import fixed_batching
from emudrift.generation.interface import Batching
from emudrift.generation.manifest import load_manifest
from emudrift.generation.remove_images import remove_images, same_images_elsewhere


@pytest.fixture
def group(tmp_path, monkeypatch) -> Group:
    return Group(tmp_path, monkeypatch)


def test_a_repeated_job_verifies_its_images_and_writes_the_same_manifest(group):
    """As Snakemake runs it again: with its declared output, the manifest, deleted; no generator is loaded."""
    made = group.experiment()
    assert group.run(made) == 10
    archive, manifest = archive_of(made), manifest_of(made)
    before = archive.read_bytes(), manifest.read_bytes(), archive.stat().st_mtime_ns, archive.stat().st_ino
    manifest.unlink()
    loaded = len(group.painters)
    assert group.run(made) == 0
    assert (archive.read_bytes(), manifest.read_bytes(), archive.stat().st_mtime_ns, archive.stat().st_ino) == before
    assert len(group.painters) == loaded


def test_an_archive_whose_manifests_are_both_lost_is_kept(group):
    made = group.experiment()
    group.run(made)
    before, manifest = archive_of(made).read_bytes(), load_manifest(manifest_of(made))
    manifest_of(made).unlink()
    shutil.rmtree(archive_of(made).parent / ".manifests")
    assert group.run(made) == 0
    assert archive_of(made).read_bytes() == before
    again = load_manifest(manifest_of(made))
    assert (again.sha256, again.archive_sha256) == (manifest.sha256, manifest.archive_sha256)
    assert again.devices == ["easel"], "the history says on what the images were generated"


def test_only_a_damaged_image_is_generated_again(group):
    """A bit flipped in an image, in a header, in the last blocks; and the archive cut off."""
    made = group.experiment()
    group.run(made)
    archive, whole = archive_of(made), archive_of(made).read_bytes()
    for place, lost in ((512 + 100, 4), (505, 4), (len(whole) - 1, 0)):
        flipped(archive, place)
        manifest_of(made).unlink()
        # A batch of four is generated as a whole.
        assert group.run(made) == lost, place
        assert archive.read_bytes() == whole
    archive.write_bytes(whole[: len(whole) // 2])
    manifest_of(made).unlink()
    assert 0 < group.run(made) < 10
    assert archive.read_bytes() == whole
    assert not (archive.parent / ".set-aside").exists()


@pytest.mark.parametrize("changes", [{"name": "renamed"}, {"shard_size": 5}, {"shard_size": 20}, {"shard_size": 7}])
def test_images_under_another_name_or_in_other_shards_are_taken(group, changes):
    first = group.experiment()
    expected = {}
    for shard in (0, 1):
        group.run(first, shard)
        expected |= load_manifest(manifest_of(first, shard)).sha256
        manifest_of(first, shard).unlink()  # As Snakemake does where this shard's job is to run again, too.
    other = group.experiment(**changes)
    made = [group.run(other, shard.name) for shard in other.shards() if shard.stop <= 20]
    assert sum(made) == 0
    images = {}
    for shard in other.shards():
        if shard.stop <= 20:
            manifest = load_manifest(other.paths.manifest(other.arms()[0].name, shard.name))
            images |= manifest.sha256
            assert set(manifest.devices) == {"easel"}
            assert sum(taken.images for taken in manifest.taken) == len(manifest.sha256)
    assert images == {key: expected[key] for key in images}
    assert len(images) > 13


def test_images_of_a_renamed_model_are_packed_to_the_same_bytes(group):
    models = [{"name": "old", "generator": "emu3", "checkpoint": {"path": "demo/models/base"}}]
    first = group.experiment(models=models)
    group.run(first)
    second = group.experiment(models=[models[0] | {"name": "new"}])
    assert group.run(second) == 0
    assert archive_of(second) != archive_of(first)
    assert archive_of(second).read_bytes() == archive_of(first).read_bytes()


def test_a_checkpoint_that_was_moved_is_the_same_model(group):
    models = [{"name": "base", "generator": "emu3", "checkpoint": {"path": "demo/models/base"}}]
    group.run(group.experiment(models=models))
    moved = group.experiment(models=[models[0] | {"checkpoint": {"path": "elsewhere"}}])
    assert group.run(moved) == 0
    retrained = group.experiment("e" * 64, models=[models[0] | {"checkpoint": {"path": "elsewhere"}}], name="b")
    assert group.run(retrained) == 10, "other weights are another model"


@pytest.mark.parametrize("changes", [{"guidance_scales": [2]}, {"seed": 1}, {"digest": "e" * 64}])
def test_images_of_other_settings_seeds_or_weights_are_not_taken(group, changes):
    group.run(group.experiment())
    assert group.run(group.experiment(name="other", **changes)) == 10


def test_what_other_weights_made_is_set_aside_and_found_again(group):
    """A checkpoint that is replaced at its place, and restored."""
    first = group.experiment()
    group.run(first)
    before = archive_of(first).read_bytes()
    assert group.run(group.experiment("e" * 64)) == 10
    assert len(list(archive_of(first).parent.glob(".set-aside/*.tar"))) == 1
    assert group.run(group.experiment()) == 0
    assert archive_of(first).read_bytes() == before


def in_16_bit(**changes) -> dict:
    generation = {"width": 64, "height": 64, "dtype": "bfloat16", "suffix": "", "negative_prompt": ""}
    attention = {"attention": changes.pop("attention")} if "attention" in changes else {}
    return {"generation": generation | attention} | changes


def test_under_auto_images_are_taken_whichever_attention_made_them_and_the_arm_goes_on_with_it(group, monkeypatch):
    """A config that left attention out had sdpa; now it has auto, whose arm has another name."""
    first = group.experiment(**in_16_bit(attention="sdpa", device="cuda"))
    group.run(first)
    auto = group.experiment(**in_16_bit(name="auto", device="cuda"))
    assert auto.arms()[0].fingerprint != first.arms()[0].fingerprint
    monkeypatch.setattr(Painter, "attention", "flash")
    assert group.run(auto) == 0
    assert group.run(auto, 1) == 10
    assert [load_manifest(manifest_of(auto, shard)).attention for shard in (0, 1)] == ["sdpa", "sdpa"]
    assert group.painters[-1].batching.attention == "sdpa"
    flash = group.experiment(**in_16_bit(name="flash", attention="flash", device="cuda"))
    assert group.run(flash) == 10, "images of sdpa are not those of flash"
    monkeypatch.setattr(Painter, "attention", "sdpa")
    third = group.experiment(**in_16_bit(name="third", attention="sdpa", device="cuda"))
    assert [group.run(third, shard) for shard in (0, 1)] == [0, 0], "those that auto made with sdpa are"


def test_in_16_bit_images_are_taken_where_batch_and_padding_are_the_same(group):
    first = group.experiment(**in_16_bit())
    group.run(first, batch_size=5)
    assert group.run(group.experiment(**in_16_bit(name="same")), batch_size=5) == 0
    assert group.run(group.experiment(**in_16_bit(name="open")), batch_size=None) == 0, "an open batch size is theirs"
    assert group.run(group.experiment(**in_16_bit(name="other")), batch_size=2) == 10
    longer = group.experiment(**in_16_bit(name="longer"))
    fixed_batching(longer.paths.batching(longer.arms()[0].name), Batching(5, 999))
    assert group.run(longer, batch_size=5) == 10


def test_in_16_bit_a_repeated_job_keeps_its_images(group):
    made = group.experiment(**in_16_bit())
    group.run(made, batch_size=5)
    before = archive_of(made).read_bytes()
    manifest_of(made).unlink()
    assert group.run(made, batch_size=2) == 0
    flipped(archive_of(made), 600)
    manifest_of(made).unlink()
    assert group.run(made, batch_size=5) == 5
    assert archive_of(made).read_bytes() == before


def test_another_choice_of_captions_takes_the_images_whose_caption_is_the_same(group):
    """longest and first: the demo has one caption to an image, so nothing is generated again under the other choice."""
    captions = {"captions": "demo/data/captions.json", "images": "demo/data/images"}
    first = group.experiment(prompts=captions)
    group.run(first)
    other = group.experiment(prompts=captions | {"caption": "first"})
    assert other.paths.prompts != first.paths.prompts
    assert other.arms()[0].name != first.arms()[0].name
    same = [a.caption for a in load_prompts(first.paths.prompts)] == [
        b.caption for b in load_prompts(other.paths.prompts)
    ]
    assert group.run(other) == (0 if same else 10)


def test_starting_over_says_where_the_same_images_are_kept(group):
    made = group.experiment()
    for shard in (0, 1):
        group.run(made, shard)
    arm, rows = made.arms()[0].name, made.shards()[0].name
    assert same_images_elsewhere(made, arm, rows) == []
    assert same_images_elsewhere(made, arm, None) == []
    other = group.experiment(name="other", shard_size=20)
    group.run(other)
    assert same_images_elsewhere(made, arm, rows) == [archive_of(other)]
    flipped(manifest_of(made, 1), 10)
    assert same_images_elsewhere(made, arm, None) == [archive_of(other)], "a damaged manifest stops nobody"
    remove_images(other, arm, None)
    remove_images(made, arm, rows)
    assert group.run(made) == 10


def test_an_arm_that_the_config_no_longer_names_can_be_removed(group):
    made = group.experiment()
    group.run(made)
    folder = archive_of(made).parent
    other = group.experiment(guidance_scales=[2])
    with pytest.raises(InputError, match=f"; left over .*: {folder.name}"):
        remove_images(other, "base", None)
    assert remove_images(other, folder.name, None) == [made.shards()[0].name]
    assert not folder.exists()


def test_two_configs_of_one_name_with_other_captions_take_their_images_back_from_each_other(group):
    """The same arm and rows for both: whoever runs sets the other's archive aside, and none generates twice."""
    captions = json.loads((ROOT / "demo/data/captions.json").read_text())
    for each in captions["annotations"]:
        each["caption"] += "!"
    (group.folder / "others.json").write_text(json.dumps(captions))
    ours = {"captions": "demo/data/captions.json", "images": "demo/data/images"}
    theirs = ours | {"captions": str(group.folder / "others.json")}
    made, archives = [], []
    for prompts in (ours, theirs, ours, theirs):
        each = group.experiment(prompts=prompts)
        made.append(group.run(each))
        archives.append(archive_of(each).read_bytes())
    assert made == [10, 10, 0, 0]
    assert archives[:2] == archives[2:]
    assert archives[0] != archives[1]
    copied = group.folder / "copied.json"
    copied.write_bytes((ROOT / "demo/data/captions.json").read_bytes())
    assert group.run(group.experiment(prompts=ours | {"captions": str(copied)})) == 0, "the same captions elsewhere"


def test_reconstructions_of_another_seed_are_found_again(group):
    """The arm of a tokenizer does not depend on the seed, but its rows do; a VQ takes a second for a large image."""
    changes = {"models": [small_config()["models"][0], {"name": "floor", "generator": "tokenizer", "of": "base"}]}
    first = group.experiment(**changes)
    assert group.run(first, 0, arm=1) == 10
    before = archive_of(first, 0, arm=1).read_bytes()
    other = group.experiment(seed=1, **changes)
    assert archive_of(other, 0, arm=1) == archive_of(first, 0, arm=1)
    assert group.run(other, 0, arm=1) == 10
    assert group.run(group.experiment(**changes), 0, arm=1) == 0
    assert archive_of(first, 0, arm=1).read_bytes() == before
    assert group.run(group.experiment(shard_size=5, **changes), 1, arm=1) == 0
