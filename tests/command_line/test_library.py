"""The ten names of `import emudrift`: documented, imported when used, and with the numbers of the workflow's own functions."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stub_extractor  # noqa: F401  (in the place of the network, which has its own tests)
from conftest import ROOT

import emudrift
from emudrift.config.extractors import Inception
from emudrift.features.statistics import statistics

NOTEBOOK = ROOT / "examples/two-folders.ipynb"


def test_the_import_is_free():
    """In a fresh interpreter: nothing but Python's own library, and no module of the package below its root."""
    program = "import sys; before = set(sys.modules); import emudrift; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.split(".")[0] not in sys.stdlib_module_names}
    assert loaded == {"emudrift"}


def test_there_are_ten_names_each_with_its_documentation():
    assert len(emudrift.__all__) == 10
    for name in emudrift.__all__:
        assert inspect.getdoc(getattr(emudrift, name)), name
        assert name in dir(emudrift)
    with pytest.raises(AttributeError, match="has no attribute 'compair'"):
        emudrift.compair  # noqa: B018


def test_distances_agree_with_a_formula_of_their_own():
    """Heusel's formula by eigenvalues of the product of both covariances."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((6, 6))
    real, made = rng.standard_normal((300, 6)) @ mix, rng.standard_normal((240, 6)) @ mix * 1.2 + 0.3
    a, b = statistics(made), statistics(real)
    roots = np.sqrt(np.linalg.eigvals(a.sigma @ b.sigma).real.clip(0)).sum()
    expected = ((a.mu - b.mu) ** 2).sum() + np.trace(a.sigma) + np.trace(b.sigma) - 2 * roots
    plain = emudrift.fid(made, real)
    assert plain == pytest.approx(expected, rel=1e-9)
    found = emudrift.fid_interval(made, real)
    assert found.low < found.estimate < found.high
    assert found.estimate < plain, "the bias of few images is above 0"
    same = emudrift.compare_features(made, made, real)
    assert same["difference"] == 0


def test_features_of_a_folder_by_a_stand_in():
    extractor = emudrift.load_extractor("inception-random", dims=64)
    source = ROOT / "demo/data/images"
    few = [source / f"{i:012d}.png" for i in (1, 2, 3)]
    assert extractor.features((emudrift_image(path) for path in few), 2).shape == (3, 64)
    with pytest.raises(emudrift.InputError, match="--extractor resnet: unknown"):
        emudrift.load_extractor("resnet")


def emudrift_image(path: Path):
    from emudrift.data.image_io import load_image

    return load_image(path)


def cells() -> list[str]:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    """Its cells as one program, in a folder of its own; it makes the images that it compares."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Inception, "loader", "stub_extractor:load")
    space: dict = {"__name__": "__main__", "display": lambda *shown: None}
    for number, source in enumerate(cells()):
        exec(compile(source, f"cell {number}", "exec"), space)
    assert space["found"].report.exists()
    assert abs(space["by_hand"]["difference"] - space["found"].differences["difference_jackknife"].iloc[-1]) < 5
