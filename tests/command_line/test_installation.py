"""The package as pip installs it, without the clone: the workflow is inside, and works from any folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, small_config
from test_compare import write_images

COPIED = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "Snakefile", "config.yaml", "src")
FOLDERS = ("rules", "scripts", "envs", "profiles", "schemas", "demo", "examples")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with nothing but the package, made from a copy of the clone; other packages are those of this environment."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in (*COPIED, *FOLDERS):
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "out")
            )
        else:
            shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, source], check=True)
    shutil.rmtree(source)
    return target


def run(installed: Path, folder: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed), "PATH": f"{installed / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_project_is_planned_and_runs_without_a_clone(installed, tmp_path):
    run(installed, tmp_path, "emudrift", "init", "study")
    said = run(installed, tmp_path / "study", sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules")
    assert "generate_shard" in said
    assert str(installed / "emudrift/workflow") in run(
        installed, tmp_path, sys.executable, "-c", "from emudrift.config.paths import WORKFLOW; print(WORKFLOW)"
    )
    lines = run(installed, tmp_path / "study", "emudrift", "plan", "--jobs").splitlines()
    assert len(lines) <= 30
    # A job: the scripts of the installed workflow.
    images = write_images(tmp_path / "study/pictures", 20, 0)
    rows = [f"{path.name},a cat" for path in sorted(images.iterdir())]
    (tmp_path / "study/captions.csv").write_text("\n".join(["file_name,caption", *rows]) + "\n")
    models = [{"name": "base", "generator": "folder", "images": "pictures"}]
    prompts = {"source": "table", "captions": "captions.csv"}
    config = small_config(models=models, prompts=prompts, reference={"images": "pictures"})
    (tmp_path / "study/small.yaml").write_text(yaml.safe_dump(config))
    target = ["--until", "extract_prompts", "--configfile", "small.yaml"]
    run(installed, tmp_path / "study", "emudrift", "run", "--quiet", "rules", *target, "-c", "1")
    assert list((tmp_path / "study/results/small").glob("prompts-*.parquet"))
    assert os.access(installed / "emudrift/workflow/scripts/slurm/sacct", os.X_OK)


@pytest.mark.slow
def test_folders_are_compared_from_any_folder(installed, tmp_path):
    for seed, name in enumerate(("base", "tuned", "real")):
        write_images(tmp_path / name, 20 if name != "real" else 24, seed, 0.1 * seed)
    words = ["compare", "base", "tuned", "--reference", "real", "--extractor", "inception-random", "--dims", "64"]
    said = run(installed, tmp_path, "emudrift", *words)
    assert "report: emudrift-comparison/results/comparison/report.html" in said
    assert (tmp_path / "emudrift-comparison/results/comparison/report.html").exists()
