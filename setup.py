"""Puts the workflow into the installed package, as emudrift/workflow; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
WORKFLOW = ("Snakefile", "config.yaml", "rules", "scripts", "envs", "profiles", "schemas", "demo", "examples")
"""What src/emudrift/config/paths.py looks for next to the package's modules where there is no clone."""


class BuildWithWorkflow(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # The clone itself.
        target = Path(self.build_lib, "emudrift", "workflow")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in WORKFLOW:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
            else:
                shutil.copy2(ROOT / name, target / name)


setup(cmdclass={"build_py": BuildWithWorkflow})
