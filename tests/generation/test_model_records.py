"""Records that jobs write for each other, when they are anything but what was written: one error each, with what to do."""

import json

import pytest

from emudrift.config.paths import download_record
from emudrift.errors import InputError
from emudrift.generation.model_files import hub_commit, load_model_record
from emudrift.generation.weight_files import hash_weights
from emudrift.runtime.locks import living_holder_of

WHOLE = {"model": "base", "generator": "emu3", "prompts": 0, "digest": "d", "files": {}, "revisions": {}, "vq": "v"}


def test_a_models_record_comes_back_with_what_only_its_generator_knows(tmp_path):
    (tmp_path / "base.json").write_text(json.dumps(WHOLE))
    assert load_model_record(tmp_path / "base.json") == WHOLE


@pytest.mark.parametrize(
    "content", ["", "[]", "null", "{", "3", json.dumps(WHOLE | {"digest": 5}), json.dumps({"model": "base"})]
)
def test_a_broken_record_of_a_model_is_one_error(tmp_path, content):
    path = tmp_path / "base.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"base\.json: .*; remove it and run again: the model is checked again"):
        load_model_record(path)


@pytest.mark.parametrize("content", ["", "[]", "null", '{"commit": 5}'])
def test_a_broken_record_of_a_download_is_one_error(tmp_path, content):
    folder = tmp_path / "model"
    assert hub_commit(folder) is None
    download_record(folder).write_text(content)
    with pytest.raises(InputError, match=r"model\.json: .*; remove it and run again"):
        hub_commit(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"slurm_id": 1}'])
def test_a_broken_lock_is_one_error(tmp_path, content):
    (tmp_path / "shard.lock.1").write_text(content)
    with pytest.raises(InputError, match=r"shard\.lock\.1: not a lock .*; if no job works on it any more, remove it"):
        living_holder_of(tmp_path / "shard.lock")


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\2\0\0\0\0\0\0\0[]", b"\2\0\0\0\0\0\0\0", b"\xff" * 8])
def test_a_file_of_weights_without_a_header_is_one_error(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.safetensors: incomplete safetensors file"):
        hash_weights(tmp_path / "a.safetensors")
