"""A FID is computed once: again only where something that it was computed from is another."""

import json

import numpy as np
import pytest

from emudrift.evaluation.blocks import prompt_blocks, reference_blocks
from emudrift.evaluation.fid import kept
from emudrift.evaluation.fid.estimate import compute_fid
from emudrift.evaluation.fid.two_sample import Sample
from emudrift.features.statistics import reference_root, statistics


@pytest.fixture
def computed(monkeypatch):
    """How often a FID was computed."""
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return compute_fid(*arguments)

    monkeypatch.setattr(kept, "compute_fid", counted)
    return calls


def arrays():
    rng = np.random.default_rng(0)
    features, real, blocks = rng.standard_normal((60, 4)), rng.standard_normal((90, 4)), prompt_blocks(60)
    return features, Sample(real, reference_blocks(90, blocks)), blocks


def test_the_same_is_found_again_and_is_what_was_computed(tmp_path, computed):
    path, (features, reference, blocks) = tmp_path / "60.json", arrays()
    first = kept.kept_estimate(path, features, reference, blocks, True)
    assert first == compute_fid(features, reference, blocks, True)
    # A float32 copy of the same would be another input; the same rows in a memory map are not.
    np.save(tmp_path / "f.npy", features)
    again = np.load(tmp_path / "f.npy", mmap_mode="r")
    assert kept.kept_estimate(path, again, reference, blocks, True) == first
    assert kept.kept_estimate(path, features, reference, blocks, False) == first, "with more than was asked for"
    assert len(computed) == 1


def test_whatever_is_another_is_computed_again(tmp_path, computed, monkeypatch):
    path, (features, reference, blocks) = tmp_path / "60.json", arrays()
    kept.kept_estimate(path, features, reference, blocks, False)
    turned = features.copy()
    turned[[0, 1]] = turned[[1, 0]]
    grouped = prompt_blocks(60, [row // 2 for row in range(60)])
    others = [
        (turned, reference, blocks, False),
        (features, Sample(reference.features + 1, reference.blocks), blocks, False),
        (features, reference_root(statistics(reference.features)), blocks, False),
        (features, Sample(reference.features, reference_blocks(90, grouped)), grouped, False),
        (features, reference, blocks, True),
    ]
    for number, other in enumerate(others):
        kept.kept_estimate(path, *other)
        assert len(computed) == number + 2
    monkeypatch.setattr(kept, "code", lambda: "another version")
    kept.kept_estimate(path, features, reference, blocks, True)
    assert len(computed) == len(others) + 2


@pytest.mark.parametrize("damage", ["", "{", '{"key": "x"}'])
def test_a_damaged_file_is_computed_again(tmp_path, computed, damage):
    path, (features, reference, blocks) = tmp_path / "60.json", arrays()
    first = kept.kept_estimate(path, features, reference, blocks, False)
    path.write_text(damage)
    assert kept.kept_estimate(path, features, reference, blocks, False) == first
    assert len(computed) == 2
    assert json.loads(path.read_text())["estimate"]["n"] == 60
