"""The descriptions of the environment agree: ranges, exact versions, conda."""

import re
import tomllib

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKED = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "envs/constraints.txt").read_text(), flags=re.M)
}
SHIPPED = [*PROJECT["dependencies"], *EXTRAS["slurm"], *EXTRAS["diffusers"]]


def test_the_conda_environment_has_the_dependencies_at_their_locked_versions():
    conda = yaml.safe_load((ROOT / "envs/emudrift.yaml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    names = [Requirement(line).name for line in SHIPPED]
    assert sorted(pip) == sorted(f"{name}=={LOCKED[canonicalize_name(name)]}" for name in names)


@pytest.mark.parametrize("line", [*SHIPPED, *EXTRAS["dev"]])
def test_the_locked_version_is_in_the_range(line):
    wanted = Requirement(line)
    if wanted.name == "emudrift":
        assert wanted.extras <= set(EXTRAS)
    elif wanted.name != "setuptools":
        assert wanted.specifier.contains(LOCKED[canonicalize_name(wanted.name)])


def test_torch_and_torchvision_are_pinned_together():
    """An open range of one resolves another version of both, with gigabytes of CUDA."""
    assert [line for line in PROJECT["dependencies"] if line.startswith("torch") and "==" in line] == [
        "torch==2.13.0",
        "torchvision==0.28.0",
    ]
