"""Several sets of prompts: what a config may say, and what follows for arms, files and references."""

from pathlib import Path

import pytest
from conftest import experiment, small_config

from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError

ONE = small_config()["prompts"]
FIRST = {"name": "first", **ONE}
SECOND = {"name": "second", "captions": "demo/data/other.json", "images": "demo/data/others"}


DATASET = {"reference": {"images": "dataset"}}


def two(tmp_path: Path, second: dict | None = None, **changes) -> Experiment:
    return experiment(tmp_path, prompts=[FIRST, SECOND | (second or {})], **DATASET | changes)


def test_one_set_in_a_list_is_that_set_without_a_name(tmp_path):
    alone, listed = experiment(tmp_path), experiment(tmp_path, prompts=[FIRST])
    assert listed.arms() != alone.arms()
    assert [arm.name for arm in listed.arms()] == [arm.name for arm in alone.arms()]
    assert (listed.paths, listed.fid_files(), listed.manifests()) == (alone.paths, alone.fid_files(), alone.manifests())
    assert (listed.reference_files(), listed.reference_list) == (alone.reference_files(), alone.reference_list)
    assert (alone.prompt_set, listed.main.prompt_set, [*alone.sets], [*listed.sets]) == ("", "first", [""], ["first"])
    assert alone.main is alone.sets[""] is alone
    assert listed.main is not listed


def test_a_further_set_adds_arms_and_changes_none(tmp_path):
    sizes = {"sample_sizes": [160, 320]}
    alone, both = experiment(tmp_path, prompts=[FIRST], **DATASET | sizes), two(tmp_path, **sizes)
    before, after = alone.arms(), both.arms()
    assert after[: len(before)] == before
    added = after[len(before) :]
    assert [arm.prompt_set for arm in added] == ["second"] * len(before)
    # What makes the images is the same; the folder says whose they are.
    assert [arm.fingerprint for arm in added] == [arm.fingerprint for arm in before]
    assert [arm.name for arm in added] == [
        f"{arm.name.removesuffix(arm.fingerprint)[:-1]}@second-{arm.fingerprint}" for arm in before
    ]
    assert [each for each in both.fid_files() if each in alone.fid_files()] == alone.fid_files()
    assert set(alone.manifests()) < set(both.manifests())
    assert set(alone.reference_files()) < set(both.reference_files())
    assert len({*both.fid_files()}) == 2 * len(alone.fid_files())
    assert both.paths == alone.paths
    assert both.sets["second"].paths.prompts != both.paths.prompts
    assert both.sets["second"].paths.results == both.paths.results


def test_what_belongs_to_a_set_is_that_of_its_view(tmp_path):
    own = {"sample_sizes": [20], "guidance_scales": [3], "reference": {"images": "photographs"}}
    both = two(tmp_path, own, sample_sizes=[20, 40], metrics=["fid", "kid"])
    main, second = both.sets.values()
    assert (main.shards(), second.shards()) == (both.shards(), [RowRange(0, 10), RowRange(10, 20)])
    assert {arm.guidance_scale for arm in second.arms()} == {3}
    assert {path.stem for path in both.metric_files() if "@second" in str(path)} == {"20"}
    assert both.set_of(second.arms()[0].name) is second
    assert both.set_of(main.arms()[0].name) is main
    assert second.set_of(second.arms()[0].name) is second
    assert (main.config.reference.images, second.config.reference.images) == ("dataset", "photographs")
    extractor = both.config.extractors[0]
    assert both.reference_key(extractor) == main.reference_key(extractor) != second.reference_key(extractor)
    with pytest.raises(InputError, match="has no arm"):
        second.arm(main.arms()[0].name)


def test_extractors_are_named_with_a_further_set(tmp_path):
    both = two(tmp_path, extractors=[*small_config()["extractors"], {"name": "clip"}], metrics=["fid", "clip_score"])
    name = both.extractor_names[-1]
    main, second = both.sets.values()
    assert both.in_set(main.named_in_set(name)) == (main, name)
    assert main.named_in_set(name) == name
    assert both.in_set(second.named_in_set(name)) == (second, name)
    assert not {*main.caption_files(name, 10)} & {*second.caption_files(name, 10)}
    with pytest.raises(InputError, match="no set is named 'third'; there are first, second"):
        both.in_set(f"{name}@third")


def test_a_set_with_too_few_images_for_a_distance_has_the_other_metrics(tmp_path):
    # 64 dimensions need 160 images.
    both = two(tmp_path, {"sample_sizes": [20, 150]}, sample_sizes=[20, 40], metrics=["fid", "kid"])
    main, second = both.sets.values()
    assert not main.without_distance()
    assert second.without_distance() == both.config.extractors
    assert not [path for path in both.fid_files() if "@second" in str(path)]
    assert second.metric_files()
    assert not second.ladders()
    assert two(tmp_path, {"sample_sizes": [20, 160]}).sets["second"].without_distance() == []
    # A metric that looks at no photographs needs none, even where others do elsewhere.
    clip = [*small_config()["extractors"], {"name": "clip"}]
    no_pictures = {"images": None, "sample_sizes": [20]}
    both = two(tmp_path, no_pictures, extractors=clip, metrics=["fid", "clip_score"])
    assert both.main.needs_reference_images
    assert not both.sets["second"].needs_reference_images


def test_domains_of_nocaps_make_other_tables_and_references(tmp_path):
    nocaps = {"source": "nocaps", "captions": "n.json", "images": "n"}
    sets = [FIRST, *({"name": d[:3], "domains": [d], **nocaps} for d in ("in-domain", "out-domain"))]
    found = experiment(tmp_path, prompts=[*sets, {"name": "all", **nocaps}], **DATASET, metrics=["fid", "kid"])
    views = list(found.sets.values())[1:]
    assert len({view.paths.prompts for view in views}) == len({view.reference_list for view in views}) == 3


@pytest.mark.parametrize(
    ("second", "changes", "said"),
    [
        ({"name": "first"}, {}, "prompts: name: two sets are named 'first'; each needs a name of its own"),
        ({"name": "First"}, {}, "first and First differ in upper and lower case only"),
        ({"name": "a/b"}, {}, "prompts: [1]: name: 'a/b' is used in file names: it must be letters, digits, - and _"),
        ({"name": "a@b"}, {}, "prompts: [1]: name: 'a@b' is used in file names"),
        ({"name": None}, {}, "prompts: [1]: name: has no value"),
        ({"captions": None}, {}, "prompts: [1]: captions: has no value"),
        ({"splitz": []}, {}, "prompts: [1]: splitz: unknown key; did you mean 'splits'?"),
        ({"domains": ["out-domain"]}, {}, "prompts: [1]: domains need source: nocaps"),
        ({"source": "nocaps", "domains": ["far"]}, {}, "prompts: [1]: domains: [0]: Input should be 'in-domain'"),
        ({"guidance_scales": [2]}, {}, "prompts: second: guidance_scales: 2 is none of the experiment's guidance_scales, 1, 3"),
        ({"guidance_scales": [3, 3]}, {}, "prompts: second: guidance_scales: 3 is given more than once"),
        ({"sample_sizes": [20, 20]}, {}, "prompts: second: sample_sizes: 20 is given more than once"),
        ({"sample_sizes": [5]}, {}, "prompts: [1]: sample_sizes: [0]: Input should be greater than or equal to 10"),
        ({"images": None}, {}, "reference: images: dataset needs prompts: images, the folder of the dataset's images"),
        ({"sample_sizes": [20]}, {}, "sample_sizes: N = 20 is too few for a Fréchet distance, which needs 160, and there is no"),
        (
            {},
            {"extractors": [small_config()["extractors"][0] | {"reference_statistics": "x.npz"}]},
            "extractors: inception-random: reference_statistics are those of one set of prompts",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_set_is_named(second, changes, said):
    config = small_config(prompts=[FIRST, {"sample_sizes": [160]} | SECOND | second], **DATASET | changes)
    with pytest.raises(InputError) as error:
        parse_config(config, "c.yaml")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_no_set_and_a_set_without_captions_are_refused():
    with pytest.raises(InputError, match=r"^c\.yaml: prompts: List should have at least 1 item"):
        parse_config(small_config(prompts=[]), "c.yaml")
    with pytest.raises(InputError, match=r"^c\.yaml: prompts: \[1\]: captions: this key is missing$"):
        parse_config(small_config(prompts=[FIRST, {"name": "b"}]), "c.yaml")
    with pytest.raises(InputError, match=r"^c\.yaml: prompts: \[0\]: name: this key is missing$"):
        parse_config(small_config(prompts=[ONE]), "c.yaml")
    with pytest.raises(InputError, match=r"^c\.yaml: prompts: expected keys and values"):
        parse_config(small_config(prompts="captions.json"), "c.yaml")
    listed = "several sets of prompts are a list, whose entries begin with '- name: '"
    with pytest.raises(InputError, match=rf"^c\.yaml: prompts: name: {listed}"):
        parse_config(small_config(prompts=FIRST), "c.yaml")
    with pytest.raises(InputError, match=rf"^c\.yaml: prompts: coco: {listed}"):
        parse_config(small_config(prompts={"coco": ONE}), "c.yaml")


BROUGHT = {"name": "other", "generator": "folder", "images": {"first": "a", "second": "b"}}


def test_existing_images_have_a_folder_for_each_set(tmp_path):
    models = [*small_config()["models"], BROUGHT, BROUGHT | {"name": "one", "images": {"first": "a"}}]
    alone = experiment(tmp_path, models=[*models[:2], *({**each, "images": "a"} for each in models[2:])])
    both = two(tmp_path, models=models, metrics=["fid", "kid"])
    # The first set's arms are those of an experiment of its own, and what was validated for it stays.
    assert [arm.name for arm in both.main.arms()] == [arm.name for arm in alone.arms()]
    assert [arm.model for arm in both.sets["second"].arms()] == ["base", "base", "finetuned", "finetuned", "other"]
    assert {arm.settings["images"] for arm in both.arms() if arm.model == "other"} == {"a", "b"}
    assert both.record_names() == ["base", "finetuned", "other", "one", "other@second"]
    assert both.of_record("other@second") == (both.sets["second"], "other")
    assert both.of_record("other") == (both.main, "other")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"images": "a"}, "models: other: images: prompts of two sets can have the same prompt_id, so each set needs its own: "),
        ({"images": {"first": "a", "third": "c"}}, "models: other: images: 'third' is no set of prompts; there are first, "),
        ({"table": "t.csv"}, "models: other: table: prompts of two sets can have the same prompt_id"),
    ],
)  # fmt: skip
def test_folders_that_fit_no_set_are_refused(model, said):
    config = small_config(
        prompts=[FIRST, SECOND], models=[*small_config()["models"], BROUGHT | model], metrics=["fid", "kid"]
    )
    with pytest.raises(InputError) as error:
        parse_config(config, "c.yaml")
    assert said in str(error.value)


def test_a_baseline_without_images_of_a_set_is_refused():
    baseline = BROUGHT | {"images": {"first": "a"}}
    config = small_config(prompts=[FIRST, SECOND], models=[baseline, *small_config()["models"]], metrics=["fid", "kid"])
    with pytest.raises(InputError, match="baseline: other has no images of this set"):
        parse_config(config, "c.yaml")
