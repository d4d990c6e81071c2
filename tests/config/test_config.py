"""The config: what is refused and how it is said, what the schema knows, where paths lead, what a fingerprint covers."""

import datetime
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from conftest import ROOT, experiment, small_config

from emudrift.config.experiment_config import Config
from emudrift.config.generation_settings import SUFFIX
from emudrift.config.paths import REPOSITORY
from emudrift.config.reader import load_config, parse_config
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError


def with_model(**changes) -> dict:
    return {"models": [small_config()["models"][0] | changes]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modls": []}, "modls: unknown key; did you mean 'models'?"),
        (with_model(adaptor={"path": "x"}), "models: [0]: adaptor: unknown key; did you mean 'adapter'?"),
        (with_model(checkpoint={"pth": "x"}), "models: [0]: checkpoint: pth: unknown key; did you mean 'path'?"),
        ({"extractors": [{"preprocessing": {"resise": 1}}]}, "extractors: [0]: preprocessing: resise: unknown key"),
        ({"models": small_config()["models"][:1] * 2}, "models: name base is given more than once"),
        ({"guidance_scales": [0.5]}, "guidance_scales: [0]: Input should be greater than or equal to 1 (found 0.5)"),
        ({"guidance_scales": [3, 3]}, "guidance_scales: 3 is given more than once"),
        ({"guidance_scales": [1, 1.0000001]}, "guidance_scales: 1 is given more than once"),
        (with_model(generator="emu"), "models: [0]: generator: 'emu' is unknown; one of emu3, folder"),
        ({"models": [{"name": "a"}]}, "models: [0]: generator: this key is missing; one of emu3, folder"),
        ({"prompts": {"captions": "", "images": "x"}}, "prompts: captions: String should have at least 1 character"),
        ({"generation": {"width": 510}}, "generation: width: 510 is not a multiple of 8"),
        ({"generation": {"attention": "eager"}}, "generation: engine: grid knows attention: auto, sdpa, flash; eager"),
        ({"generation": {"height": 0}}, "generation: height"),
        ({"sample_sizes": []}, "sample_sizes: "),
        ({"margin": 0}, "margin: "),
        ({"margin": {"dinov2": 3}}, "margin: dinov2 is no extractor with a distance; there are ['inception-random']"),
        (
            {"margin": 1, "extractors": [{"name": "inception"}, {"name": "dinov2"}]},
            "margin: distances of inception, dinov2 have different units; give one for each by name",
        ),
        ({"generation": {"width": 8_000_000_000}}, "generation: width: Input should be less than or equal to 8192"),
        ({"name": 2024}, "c.yaml: name: YAML reads this as a number (2024), but text is needed; put it in quotes"),
        ({"name": True}, "name: YAML reads this as yes or no (True), but text is needed; put it in quotes"),
        ({"name": datetime.date(2024, 1, 2)}, "name: YAML reads this as a date (2024-01-02)"),
        (with_model(name=7), "models: [0]: name: YAML reads this as a number (7)"),
        ({"name": None}, "name: has no value; write text after the colon"),
        (
            {"name": "my exp"},
            "name: 'my exp' is used in file names: it must be letters, digits, - and _, and begin with",
        ),
        ({"name": "my exp"}, "; try my-exp"),
        ({"models": ["base"]}, "models: [0]: expected keys and values, such as {name: ..., ...}, found 'base'"),
        ({"models": {"name": "base"}}, "models: expected a list, each entry on a line that begins with '- ', found {"),
        (
            {
                "models": [
                    model | {"name": name} for model, name in zip(small_config()["models"], ("m", "M"), strict=True)
                ]
            },
            "models: name: m and M differ in upper and lower case only",
        ),
        ({"sample_sizes": [5]}, "sample_sizes: [0]: Input should be greater than or equal to 10 (found 5)"),
        ({"baseline": "bose"}, "baseline: 'bose' is none of the models"),
        (with_model(checkpoint={"hub": "BAAI/Emu3-Gen-hf"}), "needs a revision"),
        (
            {"generation": {"attention": "flash", "dtype": "float32"}},
            "generation: attention: flash needs dtype: bfloat16 or float16",
        ),
        (
            {"generation": {"attention": "flash", "dtype": "float16"}},
            "generation: attention: flash needs device: cuda; on a CPU use attention: sdpa",
        ),
        ({"generation": {"attention": "flash", "engine": "reference"}}, "flash belongs to the other engine"),
        (with_model(vq="bose"), "models: base: vq: 'bose' is no emu3 model with a VQ of its own; there are "),
        (with_model(vq="base"), "models: base: vq: 'base' is no emu3 model with a VQ of its own"),
        ({"resources": {"generation_batch_size": "many"}}, "resources: generation_batch_size: "),
        (with_model(checkpoint={}), "either path (a local folder) or hub"),
        (with_model(name="a/b"), "models: [0]: name: "),
        ({"reference": {"images": "some/folder", "selection": "same"}}, "selection: same needs images: dataset"),
        ({"prompts": {"captions": "x", "splits": ["test"]}}, "splits are needed with source: karpathy"),
        ({"extractors": [{"name": "inception-random", "weights": "x.pth"}]}, "weights belong to name: inception"),
    ],
)
def test_a_wrong_setting_is_named_with_its_key_and_what_would_be_right(changes, said):
    with pytest.raises(InputError) as error:
        parse_config(small_config(**changes), "c.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("c.yaml: ")


def test_a_missing_key_is_named():
    config = small_config()
    del config["sample_sizes"]
    with pytest.raises(InputError, match=r"^c\.yaml: sample_sizes: this key is missing$"):
        parse_config(config, "c.yaml")


def test_an_unclosed_quote_is_named_by_the_line_where_it_begins(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text('seed: 1\nname: "small\nnote: x\n')
    with pytest.raises(InputError, match="the quote that begins at line 2 column 7 is never closed"):
        load_config(path)


@pytest.mark.parametrize("content", ["a: [1", "- 1", "", "\xff", "name: a\nname: b"])
def test_a_file_that_is_no_yaml_mapping_is_refused(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"config\.yaml"):
        load_config(path)


def test_a_missing_config_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read the config file: No such file"):
        load_config(tmp_path / "none.yaml")


EXAMPLES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("examples/*.yaml"))


@pytest.mark.parametrize("name", ["config.yaml", "demo/config.yaml", *EXAMPLES])
def test_the_shipped_configs_are_valid_by_the_models_and_by_the_schema(name):
    config = yaml.safe_load((ROOT / name).read_text())
    assert parse_config(config, name).name
    jsonschema.validate(config, json.loads((ROOT / "schemas/config.schema.json").read_text()))


def test_the_shipped_schema_is_that_of_the_models():
    shipped = json.loads((ROOT / "schemas/config.schema.json").read_text())
    assert shipped == Config.model_json_schema(), "run scripts/write_schema.py"


def test_the_published_experiment_is_the_default():
    config = load_config(ROOT / "config.yaml")
    assert config.sample_sizes == list(range(500, 10001, 500))
    assert config.guidance_scales == [1, 3, 5]
    assert (config.generation.width, config.generation.height, config.generation.top_k) == (512, 512, 2048)
    assert config.generation.suffix == " masterpiece, film grained, best quality."


def test_the_published_studys_own_settings_are_those_of_its_code():
    config = load_config(ROOT / "examples/emu3-coco-published.yaml")
    assert (config.prompts.splits, config.prompts.caption) == (["test", "val"], "longest")
    assert (config.generation.suffix_at(1), config.generation.suffix_at(3)) == ("", SUFFIX)
    # With the blanks that continuing a line inside a text leaves.
    assert (
        config.generation.negative_prompt
        == "lowres, bad anatomy, bad hands, text, error, \
    missing fingers, extra digit, fewer digits, cropped, worst quality, \
    low quality, normal quality, jpeg artifacts, signature, watermark, username, \
    blurry."
    )
    assert (config.generation.dtype, config.generation.top_k, config.reference.selection) == ("float16", 50, "same")
    (extractor,) = config.extractors
    assert extractor.preprocessing.model_dump() == {"resize": "bilinear", "crop": "none", "size": None}


def test_a_margin_belongs_to_the_extractors_of_its_unit(tmp_path):
    both = [{"name": "inception"}, {"name": "dinov2"}, {"name": "clip"}]
    found = experiment(tmp_path, margin={"inception": 1.5}, extractors=both, metrics=["fid", "cmmd"])
    assert {name.rpartition("-")[0]: margin for name, margin in found.margins.items()} == {"inception": 1.5}
    one = experiment(tmp_path, margin=2)
    assert list(one.margins.values()) == [2]
    # It changes what is concluded, and no feature.
    assert one.extractor_names == experiment(tmp_path).extractor_names


def test_paths_start_at_the_repository_or_the_config_file_never_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = experiment(tmp_path)
    assert found.path("demo/data") == REPOSITORY / "demo/data"
    assert found.path("./data") == tmp_path / "data"
    assert found.path("../data") == tmp_path.parent / "data"
    assert found.path("/data") == Path("/data")


def fingerprints(tmp_path: Path, **changes) -> dict[str, str]:
    return {arm.label: arm.fingerprint for arm in experiment(tmp_path, **changes).arms()}


GENERATION = small_config()["generation"]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"device": "cuda"},
        {"prompts": small_config()["prompts"] | {"caption": "first"}},
        *({"generation": GENERATION | {key: value}} for key, value in [
            ("width", 72), ("height", 72), ("dtype", "float16"), ("top_k", 5), ("suffix", "x"), ("engine", "reference")
        ]),
    ],
)  # fmt: skip
def test_every_setting_that_can_change_a_pixel_changes_the_fingerprints(tmp_path, changes):
    before, after = fingerprints(tmp_path), fingerprints(tmp_path, **changes)
    assert before.keys() == after.keys()
    assert all(before[label] != after[label] for label in before)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"note": "other"},
        {"sample_sizes": [10, 20, 30]},
        {"shard_size": 5},
        {"guidance_scales": [1, 3, 5]},
        {"resources": {"generation_batch_size": 3}},
        {"extractors": [{}]},
        {"reference": {"images": "elsewhere"}},
    ],
)
def test_no_other_setting_changes_a_fingerprint(tmp_path, changes):
    before, after = fingerprints(tmp_path), fingerprints(tmp_path, **changes)
    assert {label: after[label] for label in before} == before


def test_the_negative_prompt_changes_only_arms_with_guidance_and_a_suffix_override_only_its_scale(tmp_path):
    before = fingerprints(tmp_path)
    negative = fingerprints(tmp_path, generation=GENERATION | {"negative_prompt": "blurry"})
    assert [label for label in before if before[label] != negative[label]] == [
        "base, guidance 3",
        "finetuned, guidance 3",
    ]
    override = fingerprints(tmp_path, generation=GENERATION | {"suffix_overrides": {1: "x"}})
    assert [label for label in before if before[label] != override[label]] == [
        "base, guidance 1",
        "finetuned, guidance 1",
    ]


def test_an_arm_of_other_settings_is_not_found(tmp_path):
    name = experiment(tmp_path).arms()[0].name
    with pytest.raises(InputError, match="were its settings changed since it was planned"):
        experiment(tmp_path, seed=1).arm(name)


def test_shards_keep_their_ranges_when_a_larger_n_is_added(tmp_path):
    before = experiment(tmp_path, sample_sizes=[10, 25]).shards()
    after = experiment(tmp_path, sample_sizes=[10, 25, 40]).shards()
    assert before == [RowRange(0, 10), RowRange(10, 20), RowRange(20, 30)]
    assert after[:3] == before
    assert experiment(tmp_path, sample_sizes=[10, 25]).shards(10) == [RowRange(0, 10)]
    assert RowRange.parse(before[2].name) == before[2]


def test_two_extractors_that_make_the_same_features_are_refused(tmp_path):
    extractor = small_config()["extractors"][0]
    with pytest.raises(InputError, match="two of them make the same features"):
        experiment(tmp_path, extractors=[extractor, extractor | {"reference_statistics": "x.npz"}])
