"""The door for arrays: what it says about arms whose truth is known, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from emudrift.errors import InputError
from emudrift.evaluation.fid.arrays import compare_arrays, load_array
from emudrift.features.statistics import statistics, write_statistics

D = 8


def arms(n: int, shift: float, seed: int = 0, m: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, D))
    a, b = (0.8 * shared + 0.6 * rng.standard_normal((n, D)) for _ in range(2))
    return a, b + shift, rng.standard_normal((m, D))


def test_the_script_writes_what_the_issue_names(tmp_path):
    for name, array in zip("abr", arms(200, 0.5), strict=True):
        np.save(tmp_path / f"{name}.npy", array.astype(np.float32))
    (tmp_path / "groups.txt").write_text("".join(f"theme {row % 40}\n" for row in range(200)))
    command = [sys.executable, str(ROOT / "scripts/compare_features.py"), "--baseline", "a.npy", "--model", "b.npy"]
    command += ["--reference", "r.npy", "--groups", "groups.txt", "--margin", "0.01", "--output", "out.json"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = json.loads((tmp_path / "out.json").read_text())
    assert {"difference", "low", "high", "p", "finding", "limit", "n", "d", "reference_n", "method"} <= set(found)
    assert (found["n"], found["d"], found["reference_n"], found["blocks"]) == (200, 8, 400, 20)
    assert found["finding"] == "worse"
    assert found["low"] < D * 0.25 < found["high"]
    assert found["p"] < 0.001


@pytest.mark.parametrize(
    ("n", "shift", "margin", "finding"),
    [
        (400, 0.4, None, "worse"),
        (400, 0.0, 1.0, "no worse than the margin"),
        (400, 0.0, None, "inconclusive"),
        (18, 2.0, None, "too few images"),
    ],
)
def test_every_finding_can_be_had(n, shift, margin, finding):
    a, b, real = arms(n, shift, seed=3)
    assert compare_arrays(a, b, real, margin=margin)["finding"] == finding
    if finding == "worse":
        assert compare_arrays(b, a, real)["finding"] == "better"


def test_a_reference_of_very_few_images_has_fewer_blocks():
    a, b, real = arms(200, 0.5, m=30)
    found = compare_arrays(a, b, real)
    assert found["blocks"] == 15
    assert found["low"] < D * 0.25 < found["high"]
    with pytest.raises(InputError, match="the reference has 3 images; expected at least 4"):
        compare_arrays(a, b, real[:3])


def test_groups_that_share_an_effect_widen_the_interval():
    rng, groups = np.random.default_rng(1), np.repeat(np.arange(60), 5)
    real, a = rng.standard_normal((400, D)), rng.standard_normal((300, D))
    b = rng.standard_normal((300, D)) + 0.8 * rng.standard_normal((60, D))[groups]
    order = rng.permutation(300)
    alone = compare_arrays(a[order], b[order], real)
    together = compare_arrays(a[order], b[order], real, [str(group) for group in groups[order]])
    assert together["high"] - together["low"] > 1.2 * (alone["high"] - alone["low"])


def test_ready_statistics_are_held_fixed_and_that_is_said(tmp_path):
    a, b, real = arms(200, 0.5, m=60)
    write_statistics(tmp_path / "r.npz", statistics(real), {})
    fixed, sampled = compare_arrays(a, b, tmp_path / "r.npz"), compare_arrays(a, b, real)
    assert "held fixed" in fixed["method"]
    assert "held fixed" in fixed["warnings"][0]
    assert "60 images, fewer than 10 for each of 8 dimensions" in sampled["warnings"][0]
    assert fixed["high"] - fixed["low"] < sampled["high"] - sampled["low"]
    assert fixed["fid"] == pytest.approx(sampled["fid"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": np.zeros((19, D))}, r"are \(20, 8\) and the model's \(19, 8\); expected \(n, d\)"),
        ({"groups": ["a"] * 3}, "3 groups for 20 rows"),
        ({"margin": -1.0}, "margin is -1.0"),
        ({"reference": np.zeros((100, 3))}, "8 dimensions and those of the reference 3"),
        ({"baseline": np.full((20, D), np.nan)}, "row 0 .* contains NaN"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    a, b, real = arms(20, 0.0)
    with pytest.raises(InputError, match=words):
        compare_arrays(**({"baseline": a, "model": b, "reference": real} | changes))


def test_a_file_that_holds_no_features_is_refused(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.array(["a"]))
    with pytest.raises(InputError, match=r"x\.npy: expected a \.npy of numbers of shape \(n, d\)"):
        load_array(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"cannot read the features .*none\.npy"):
        load_array(tmp_path / "none.npy")
