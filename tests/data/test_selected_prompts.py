"""Prompts and reference of an experiment under conditions, through the functions that the rules' scripts call."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import experiment, write_few

from emudrift.data.annotated_prompts import annotate_prompts, select_prompts
from emudrift.data.annotations import read_annotations
from emudrift.data.dataset import prompt_table_of, write_prompt_table, write_reference_list
from emudrift.data.prompts import load_prompts
from emudrift.data.reference_list import load_image_list
from emudrift.errors import InputError


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """An experiment in a project of its own, with 40 scenes."""
    write_few(tmp_path / "few", 40)
    (tmp_path / ".emudrift").touch()

    def make(**keys: Any) -> Any:
        reference = {"images": "dataset"} | keys.pop("reference", {})
        prompts = {"captions": "few/captions.json", "images": "few/images"} | keys
        return experiment(tmp_path, prompts=prompts, reference=reference)

    return make


def selected(of: Any) -> Any:
    for key in of.annotations.selections():
        select_prompts(of, key, 8)
    return of


def test_conditions_leave_the_same_prompts_in_the_same_order_as_without_them(made: Any) -> None:
    everything = prompt_table_of(made())
    words = [len(caption.split()) for caption in everything["caption"]]
    least = sorted(words)[20]
    found = selected(made(where={"caption_words": {"min": least}}))
    write_prompt_table(found)
    prompts = load_prompts(found.paths.prompts)
    wanted = everything[[each >= least for each in words]]
    assert 0 < len(prompts) < 40
    assert [(p.prompt_id, p.caption, p.seed) for p in prompts] == [
        *zip(wanted["prompt_id"], wanted["caption"], wanted["seed"].tolist(), strict=True)
    ]
    record = json.loads(found.paths.selection_record(*found.annotations.selections()).read_text())
    assert (record["total"], record["left"]) == (40, len(prompts))
    # The reference is that of all images, but where it has conditions of its own.
    write_reference_list(found)
    assert len(load_image_list(found.reference_list)) == 40
    both = selected(made(reference={"where": {"caption_words": {"min": least}}}))
    write_reference_list(both)
    assert {image.file_name for image in load_image_list(both.reference_list)} == set(wanted["file_name"])
    write_prompt_table(both)
    assert len(load_prompts(both.paths.prompts)) == 40


def test_columns_lie_beside_the_prompts_for_as_many_as_the_largest_n(made: Any) -> None:
    found = made(annotations=["aspect_ratio", "caption_words"])
    write_prompt_table(found)
    before = found.paths.prompts.read_bytes()
    annotate_prompts(found, found.annotations.key, 8)
    table = read_annotations(found.annotations.table)
    prompts = load_prompts(found.paths.prompts)[:20]
    assert table.index.tolist() == [prompt.prompt_id for prompt in prompts]
    assert table["caption_words"].tolist() == [len(prompt.caption.split()) for prompt in prompts]
    assert table["aspect_ratio"].tolist() == [1.0] * 20
    assert found.paths.prompts.read_bytes() == before


def test_what_does_not_fit_is_one_line(made: Any, tmp_path: Path) -> None:
    nothing = made(where={"caption_words": {"min": 500}})
    with pytest.raises(InputError, match="none of 40 prompts meets all conditions; alone, caption_words removes 40"):
        selected(nothing)
    found = made(where={"caption_words": {"min": 1}})
    with pytest.raises(InputError, match=r"\.parquet does not exist: it is created by the rules"):
        write_prompt_table(found)
    selected(found)
    captions = json.loads((tmp_path / "few/captions.json").read_text())
    captions["images"].pop()
    kept = {image["id"] for image in captions["images"]}
    captions["annotations"] = [each for each in captions["annotations"] if each["image_id"] in kept]
    (tmp_path / "few/captions.json").write_text(json.dumps(captions))
    with pytest.raises(InputError, match="is of other prompts than the captions file now has"):
        write_prompt_table(found)
    (tmp_path / "few/images" / captions["images"][0]["file_name"]).unlink()
    with pytest.raises(InputError, match="1 of 39 images are missing"):
        selected(found)
    with pytest.raises(InputError, match="has no annotations 'abc'; were they changed since they were planned"):
        select_prompts(found, "abc", 8)
