"""The preprocessing of other tools, against what these tools computed from the same images (recorded by presets.py)."""

import json

import numpy as np
import pytest
from conftest import small_config
from presets import DIMS, RECORDED, frechet, images

from emudrift.config.extractors import PRESETS, Preprocessing
from emudrift.config.reader import parse_config
from emudrift.errors import InputError
from emudrift.features.inception import load_random

RECORDS = json.loads(RECORDED.read_text())


def fid(preprocessing: Preprocessing) -> float:
    extractor = load_random(0, DIMS, preprocessing)
    return frechet(*(extractor.features(images(kind), 8) for kind in "ab"))


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    return {name: fid(PRESETS[name]) for name in RECORDS}


@pytest.mark.parametrize("name", RECORDS)
def test_a_preset_gives_the_distance_of_its_tool(found, name):
    assert found[name] == pytest.approx(RECORDS[name], abs=1e-4)


def test_the_tools_differ_by_more_than_the_presets_from_them(found):
    """Otherwise any of them would pass for any other."""
    values = sorted(found.values())
    assert min(np.diff(values)) > 5e-4


def test_a_preset_is_the_same_as_its_settings():
    def extractor(preprocessing):
        config = parse_config(
            small_config(extractors=[{"name": "inception", "preprocessing": preprocessing}]), "c.yaml"
        )
        return config.extractors[0]

    whole = {"resize": "bilinear", "crop": "none", "size": None}
    assert extractor("published-study") == extractor(whole)
    assert extractor("clean-fid") == extractor(whole | {"resize": "clean-fid"})


def test_a_name_that_is_no_preset_is_refused():
    config = small_config(extractors=[{"name": "inception", "preprocessing": "clean"}])
    with pytest.raises(
        InputError, match="'clean' is none of clean-fid, pytorch-fid, torch-fidelity, torchmetrics, published"
    ):
        parse_config(config, "c.yaml")
