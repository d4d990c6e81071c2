"""What a config may say about columns of prompts and conditions on them, and what that changes."""

from pathlib import Path
from typing import Any

import pytest
from conftest import experiment

from emudrift.config.annotations import where_words
from emudrift.config.prompt_sets import Prompts
from emudrift.errors import InputError

PROMPTS = {"captions": "demo/data/captions.json", "images": "demo/data/images"}


def of_prompts(folder: Path, reference: dict[str, Any] | None = None, **keys: Any) -> Any:
    return experiment(folder, prompts=PROMPTS | keys, reference=reference or {"images": "dataset"})


def test_only_conditions_change_the_prompt_table_and_only_those_of_the_reference_its_list(tmp_path: Path) -> None:
    def names(**keys: Any) -> tuple[str, str]:
        found = of_prompts(tmp_path, **keys)
        return found.paths.prompts.name, found.reference_list.name

    plain = names()
    assert plain[0] == "prompts-e435bb03da03.parquet"  # As before there were annotations.
    assert names(annotations=["aspect_ratio", "objects"], instances="i.json") == plain
    small = names(where={"width": {"max": 64}})
    assert small[0] != plain[0]
    assert small[1] == plain[1]
    assert names(where={"width": {"max": 64.0}}) == small
    assert names(where={"width": {"max": 65}})[0] != small[0]
    both = {"width": {"max": 64}, "caption_words": {"min": 3}}
    assert names(where=both) == names(where=dict(reversed(both.items())))
    of_reference = names(reference={"where": {"width": {"max": 64}}})
    assert of_reference[0] == plain[0]
    assert of_reference[1] != plain[1]
    # What the values are made from belongs to them.
    seen = [names(where={"people": True}, instances=name)[0] for name in ("one.json", "two.json")]
    assert seen[0] != seen[1]


def test_columns_of_conditions_are_made_without_being_listed(tmp_path: Path) -> None:
    found = of_prompts(
        tmp_path, annotations=["aspect_ratio"], where={"caption_words": {"min": 3}, "aspect_ratio": {"max": 2}}
    )
    assert found.annotations.columns == ["aspect_ratio", "caption_words"]
    assert of_prompts(tmp_path).annotations.table is None
    # Prompts and reference that are selected alike are selected once.
    where = {"width": {"min": 8}}
    assert len(of_prompts(tmp_path, where=where, reference={"where": where}).annotations.selections()) == 1


@pytest.mark.parametrize(
    ("keys", "reference", "said"),
    [
        ({"annotations": ["aspect"]}, {}, "annotations: 'aspect' is no column"),
        ({"annotations": ["aspect_rato"]}, {}, "did you mean aspect_ratio?"),
        ({"annotations": ["domain"]}, {}, "and with source: nocaps domain"),
        ({"annotations": ["objects"]}, {}, "objects needs prompts: instances"),
        ({"annotations": ["clip_similarity"]}, {}, "clip_similarity needs an extractor with name: clip"),
        ({"annotations": ["text_area"], "images": None}, {"images": "few"}, "text_area needs prompts: images"),
        ({"where": {"width": {}}}, {}, "a condition needs min, max, any, all or none"),
        ({"where": {"width": {"min": 3, "max": 2}}}, {}, "min: 3 is above max: 2: nothing would pass"),
        ({"where": {"width": {"maximum": 3}}}, {}, "where: width: maximum: unknown key; did you mean 'max'?"),
        ({"where": {"width": {"name": 3}}}, {}, "where: width: name: unknown key; did you mean '"),
        ({"where": "width > 3"}, {}, "where: expected keys and values, such as {key: value}, found 'width > 3'"),
        ({"wher": {"width": {"min": 3}}}, {}, "prompts: wher: unknown key; did you mean 'where'?"),
        ({"where": {"width": "wide"}}, {}, "width is a number: write min, max, any or none with numbers"),
        ({"where": {"people": 1}, "instances": "i.json"}, {}, "people is yes or no: write people: true"),
        ({"where": {"categories": ["dog"]}, "instances": "i.json"}, {}, "write {any: [...]}, {all: [...]} or {none: [...]}"),
        ({"where": {"categories": {"min": 2}}, "instances": "i.json"}, {}, "categories is a list of names"),
        ({}, {"images": "few", "where": {"width": {"min": 3}}}, "where needs images: dataset"),
        ({}, {"selection": "both", "where": {"width": {"min": 3}}}, "where needs images: dataset"),
        ({}, {"where": {"indoor": True}}, "reference: where: 'indoor' is no column"),
    ],
)  # fmt: skip
def test_what_cannot_be_annotated_is_refused_in_one_line(tmp_path: Path, keys: Any, reference: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        of_prompts(tmp_path, reference, **keys)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_conditions_in_words() -> None:
    where = {
        "text_area": {"max": 0.01},
        "people": False,
        "categories": {"any": ["dog", "cat"], "none": ["bird"]},
        "clip_similarity": {"min": 0.2},
    }
    assert where_words(Prompts(captions="c.json", where=where).where) == (
        "text_area at most 0.01; people: no; categories: dog or cat and without bird; clip_similarity at least 0.2"
    )
