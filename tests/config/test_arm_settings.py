"""Fingerprints of pipelines: what can change a pixel, and nothing else. (Those of commands: test_command.py.)"""

from pathlib import Path
from typing import Any

import pytest
from conftest import experiment, small_config

from emudrift.config.reader import parse_config
from emudrift.errors import InputError
from emudrift.generation.registry import fixes_batch

MODEL = {"name": "sd", "generator": "diffusers", "checkpoint": {"hub": "some/sd", "revision": "abc"}}


def fingerprints(tmp_path: Path, generation: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    config = {"models": [MODEL | changes], "guidance_scales": [3]}
    if generation is not None:
        config["generation"] = small_config()["generation"] | generation
    return [arm.fingerprint for arm in experiment(tmp_path, **config).arms()]


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 20},
        {"dtype": "float16"},
        {"variant": "fp16"},
        {"suffix": " in oil"},
        {"negative_prompt": "blurry"},
        {"checkpoint": {"hub": "some/sd", "revision": "abd"}},
        {"custom_pipeline": "own", "trust_remote_code": True},
        *({"generation": {key: value}} for key, value in [("width", 72), ("suffix", "x"), ("negative_prompt", "x")]),
    ],
)
def test_every_setting_that_can_change_a_pixel_changes_the_fingerprint(tmp_path, changes):
    assert fingerprints(tmp_path) != fingerprints(tmp_path, **changes)


@pytest.mark.parametrize(
    "changes", [{"trust_remote_code": True}, {"suffix": "", "generation": {"suffix": ""}}, {"generation": {"top_k": 7}}]
)
def test_no_other_setting_does(tmp_path, changes):
    assert fingerprints(tmp_path) == fingerprints(tmp_path, **changes)


def test_its_own_suffix_and_negative_prompt_stand_in_place_of_the_experiments(tmp_path):
    own = MODEL | {"suffix": "", "negative_prompt": "own"}
    arm = experiment(tmp_path, models=[own], guidance_scales=[3], generation={"dtype": "float32"}).arms()[0]
    assert (arm.settings["suffix"], arm.settings["negative_prompt"]) == ("", "own")
    found = experiment(tmp_path, models=[MODEL], guidance_scales=[3], generation={"dtype": "float32"})
    assert "masterpiece" in found.arms()[0].settings["suffix"]
    assert fixes_batch(found, found.arms()[0]), "diffusion has no tokens that absorb roundings"


def test_a_custom_pipeline_must_be_trusted_in_the_config():
    with pytest.raises(
        InputError, match=r"custom_pipeline: runs own\.py of the checkpoint; .* trust_remote_code: true"
    ):
        parse_config(small_config(models=[MODEL | {"custom_pipeline": "own"}]), "c.yaml")
