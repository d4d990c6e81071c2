"""Plugins: the examples of docs/extending.md, run as they are from config to page; and plugins that do something wrong."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, Workflow, small_config
from PIL import Image

from emudrift.config.experiment import Experiment
from emudrift.config.reader import parse_config
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.evaluation.ladder import LadderRecord
from emudrift.features.registry import load_extractor
from emudrift.generation.registry import load_generator

PAGE = (ROOT / "docs/extending.md").read_text()
EXAMPLES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL))


def write_examples(folder: Path) -> None:
    for name, code in EXAMPLES.items():
        (folder / name).write_text(f"# {name}\n{code}")


def config_of(workflow: Workflow, **changes) -> Path:
    """Two folders of images and the noise of the page, through all three plugins."""
    images = workflow.folder / "images"
    images.mkdir(exist_ok=True)
    for path in sorted((ROOT / "demo/data/images").iterdir())[:24]:
        shutil.copy(path, images / path.name)
    base = {"name": "base", "generator": "folder", "images": "demo/data/images"}
    settings = {
        "plugins": ["./vendi.py", "./resnet18.py", "./noise.py"],
        "models": [base, {"name": "noise", "generator": "noise", "contrast": 40}],
        "extractors": [{"name": "resnet18", "weights": "./resnet18.pth"}],
        "reference": {"images": "./images"},
        "sample_sizes": [20],
        "ladder": True,
        "shard_size": 20,
    }
    return workflow.write_config(small_config(**(settings | changes)))


@pytest.fixture(scope="module")
def extended(new_workflow) -> Workflow:
    """The three examples in one experiment, run to its end."""
    import emudrift.runtime.torchvision_fix  # noqa: F401

    import torch
    from torchvision import models

    workflow = new_workflow("extended")
    write_examples(workflow.folder)
    torch.manual_seed(0)
    torch.save(models.resnet18().state_dict(), workflow.folder / "resnet18.pth")
    workflow.config = config_of(workflow)
    workflow.snakemake("--quiet", "rules", config=workflow.config)
    workflow.results = workflow.folder / "results" / "small"
    return workflow


def test_each_example_is_complete_in_under_thirty_lines():
    assert set(EXAMPLES) == {"vendi.py", "resnet18.py", "noise.py"}
    for name, code in EXAMPLES.items():
        assert len(code.splitlines()) < 30, name


def test_the_ladder_is_measured_through_an_extractor_of_ones_own_and_reaches_the_page(extended):
    (path,) = (extended.folder / "resources/reference").glob("*.ladder.json")
    found = LadderRecord.model_validate_json(path.read_text())
    assert (found.n, found.reference_n, found.dims, found.reliable) == (24, 24, 512, False)
    sizes = {rung.label: rung.distance for rung in found.rungs}
    assert 0 < sizes["JPEG quality 75"] < sizes["JPEG quality 35"] < sizes["JPEG quality 15"]
    assert 0 < sizes["a blur of 1 px"] < sizes["a blur of 2 px"] < sizes["a blur of 4 px"]
    page = (extended.results / "report.html").read_text()
    assert "How large is that?" in page
    assert "24 of 24 real images were degraded. For 512 feature dimensions these are too few" in page
    assert (extended.results / "figures/ladder.svg").exists()
    # Another experiment with the same reference takes it from the cache.
    smaller = yaml.safe_load(extended.config.read_text()) | {"sample_sizes": [10]}
    plan = extended.planned(config=extended.write_config(smaller, "ten.yaml"))
    assert "plot" in plan
    assert "reference_ladder" not in plan


def test_a_metric_of_ones_own_reaches_the_tables_with_its_interval(extended):
    table = pd.read_csv(extended.results / "metrics.csv").set_index("model")
    (features,) = extended.results.glob("features/resnet18-*/noise-*/000000-000020.npy")
    rows = np.concatenate([np.load(path) for path in sorted(features.parent.glob("*.npy"))]).astype(np.float64)
    # By the definition, in another way: the eigenvalues of the kernel are squared singular values.
    values = np.linalg.svd(rows / np.linalg.norm(rows, axis=1, keepdims=True), compute_uv=False) ** 2 / len(rows)
    assert table.loc["noise", "value"] == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-4)
    assert set(table["metric"]) == {"vendi"}
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()
    differences = pd.read_csv(extended.results / "metric_differences.csv")
    assert list(differences["metric"]) == ["vendi"]


def test_the_page_shows_all_three_with_direction_citation_and_names(extended):
    page = (extended.results / "report.html").read_text()
    for said in (
        "Vendi score (higher is better)<small>Friedman and Dieng, 2023</small>",
        "Friedman and Dieng, 2023",
        "@article{friedman2023vendi",
        "FD-ResNet18",
        "features of resnet18",
        "noise is generated by noise",
    ):
        assert said in page, said
    fid = pd.read_csv(extended.results / "fid.csv")
    assert set(fid["model"]) == {"base", "noise"}
    assert set(fid["dims"]) == {512}


def test_an_edited_plugin_changes_the_fingerprints_that_it_touches_and_no_others(extended):
    original = (extended.folder / "vendi.py").read_text()
    (extended.folder / "vendi.py").write_text(original + "\n# edited\n")
    try:
        assert set(extended.planned(config=extended.config)) == {"compute_metric", "collect_metrics", "report"}
    finally:
        (extended.folder / "vendi.py").write_text(original)
    assert extended.planned(config=extended.config) == {}


METRIC = "from emudrift.config.metrics import Metric\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1", "mine.py: registers nothing; expected a Metric, or a subclass of ExtractorSettings or ModelSettings"),
        (
            "import no_such_library",
            "mine.py: ModuleNotFoundError: No module named 'no_such_library' (line 1 of mine.py)",
        ),
        ("def broken(:", "mine.py: SyntaxError: invalid syntax"),
        (METRIC + "M = Metric(name='kid', function=len)", "the metric 'kid' is defined twice; change its name"),
        (
            METRIC + "M = Metric(name='m')",
            "mine.py: TypeError: Metric.__init__() missing 1 required keyword-only argument",
        ),
        (
            METRIC + "M = Metric(name='m', function=len, reads=('dino',))",
            "metrics: m needs an extractor with name: dino; there are only inception-random",
        ),
        (
            "from emudrift.config.model_settings import ModelSettings\nclass A(ModelSettings): pass",
            'mine.py: class A needs generator: Literal["..."], its name in configs',
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_clear_error(tmp_path, code, said):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(InputError) as error:
        parse_config(small_config(plugins=["./mine.py"]), str(tmp_path / "c.yaml"))
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'c.yaml'}: ")


def test_a_missing_plugin_and_a_key_that_is_no_list_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"plugins: .*none\.py: cannot be read: no such file"):
        parse_config(small_config(plugins=["./none.py"]), str(tmp_path / "c.yaml"))
    with pytest.raises(InputError, match="plugins: expected a list, each entry on a line"):
        parse_config(small_config(plugins="./none.py"), str(tmp_path / "c.yaml"))


def test_keys_of_a_plugins_model_are_checked_like_all_others(tmp_path):
    write_examples(tmp_path)
    models = [{"name": "a", "generator": "noise", "kontrast": 1}]
    with pytest.raises(InputError, match=r"models: \[0\]: kontrast: unknown key; did you mean 'contrast'\?"):
        parse_config(small_config(plugins=["./noise.py"], models=models), str(tmp_path / "c.yaml"))
    with pytest.raises(
        InputError, match=r"'nose' is unknown; one of emu3, folder, diffusers, command, tokenizer, noise"
    ):
        models = [{"name": "a", "generator": "nose"}]
        parse_config(small_config(plugins=["./noise.py"], models=models), str(tmp_path / "c.yaml"))


def test_the_file_is_part_of_the_fingerprints_of_a_model_and_an_extractor(tmp_path):
    write_examples(tmp_path)
    settings = small_config(
        plugins=["./noise.py", "./resnet18.py"],
        models=[{"name": "a", "generator": "noise"}],
        extractors=[{"name": "resnet18", "weights": "x.pth"}],
    )

    def names() -> tuple[str, str]:
        found = Experiment(parse_config(settings, str(tmp_path / "c.yaml")), tmp_path / "c.yaml")
        return found.arms()[0].name, found.extractor_names[0]

    before = names()
    for name in ("noise.py", "resnet18.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
    after = names()
    assert before[0] != after[0]
    assert before[1] != after[1]


def changed(folder: Path, name: str, old: str, new: str) -> Experiment:
    """An experiment with the examples of the page, one of them changed."""
    write_examples(folder)
    code = (folder / name).read_text()
    assert old in code
    (folder / name).write_text(code.replace(old, new))
    settings = small_config(
        plugins=["./vendi.py", "./noise.py", "./resnet18.py"],
        models=[{"name": "a", "generator": "noise"}],
        extractors=[{"name": "resnet18", "weights": "./resnet18.pth"}],
    )
    return Experiment(parse_config(settings, str(folder / "c.yaml")), folder / "c.yaml")


PROMPTS = [Prompt(row, f"{row}", row, f"{row}.png", 64, 64, "a red circle", row) for row in range(3)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "astype(np.uint8)",
            "astype(float)",
            r"image of prompt 0 has shape \(64, 64, 3\) and type float64; expected .* uint8",
        ),
        ("for prompt in prompts:", "for prompt in prompts[1:]:", "returned 2 images for 3 prompts"),
        (
            "prompt.caption",
            "prompt.text",
            r"AttributeError: 'Prompt' object has no attribute 'text' \(line 26 of noise\.py\)",
        ),
        ("def generate(", "def paint(", r"what load returned has no method generate\(prompts\)"),
        ("NoiseGenerator(arm", "Noisegenerator(arm", "NameError: name 'Noisegenerator' is not defined"),
    ],
)
def test_what_a_generator_does_wrong_is_one_clear_error(tmp_path, old, new, said):
    experiment = changed(tmp_path, "noise.py", old, new)
    with pytest.raises(InputError, match=f"plugins: generator noise: .*{said}"):
        list(load_generator(experiment, experiment.arms()[0]).generate(PROMPTS))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size, 512, see", "size, 512, lambda image: see(image) * float('nan')", "NaN or Inf"),
        ("network.fc = torch.nn.Identity()", "pass", r"made features of shape \(2, 1000\) .*; expected \(n, 512\)"),
        ("SimpleNamespace(features=run)", "network", r"has no method features\(images, batch_size\)"),
        ("./resnet18.pth", "", "FileNotFoundError: .*resnet18.pth"),
    ],
)
def test_what_an_extractor_does_wrong_is_one_clear_error(extended, tmp_path, old, new, said):
    if old == "./resnet18.pth":
        experiment = changed(tmp_path, "resnet18.py", "run", "run")
    else:
        shutil.copy(extended.folder / "resnet18.pth", tmp_path)
        experiment = changed(tmp_path, "resnet18.py", old, new)
    with pytest.raises(InputError, match=said):
        load_extractor(experiment, experiment.extractor_names[0]).features([Image.new("RGB", (64, 64))] * 2, 2)


def test_an_error_in_a_job_is_one_message_and_no_traceback(extended):
    original = (extended.folder / "vendi.py").read_text()
    (extended.folder / "vendi.py").write_text(original.replace("float(np.exp(", "float(1 / 0 * np.exp("))
    try:
        run = extended.snakemake(config=extended.config, check=False)
    finally:
        (extended.folder / "vendi.py").write_text(original)
    assert run.returncode == 1
    assert "plugins: metric vendi: ZeroDivisionError: division by zero (line 12 of vendi.py)" in run.stdout
    assert "Traceback" not in run.stdout
