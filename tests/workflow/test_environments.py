"""The two descriptions of the environment carry the same pins."""

import re
import tomllib

import yaml
from conftest import ROOT


def test_conda_environment_and_pyproject_carry_the_same_pins():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    conda = yaml.safe_load((ROOT / "envs/emudrift.yaml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert sorted(pip) == sorted(pyproject)


def test_what_can_change_a_pixel_or_a_number_is_pinned_to_one_version():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [line for line in pyproject if not re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line)] == []
