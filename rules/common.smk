"""Config to experiment object, and path helpers; nothing else.

The scripts read the config file themselves and look up arms, extractors and references by names that carry their
fingerprints, so a config edited while jobs wait can never mix settings.
"""

import os
import sys

import yaml

sys.path.insert(0, os.path.join(workflow.basedir, "src"))

from emudrift.errors import InputError
from emudrift.experiment import Experiment

# `python` in a rule is the Python that runs Snakemake, also where its environment is not activated.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

if len(workflow.configfiles) > 1:
    sys.exit("error: give one --configfile; settings of several files are not merged")
CONFIG = str(workflow.configfiles[0] if workflow.configfiles else os.path.join(workflow.basedir, "config.yaml"))
SCRIPTS = os.path.join(workflow.basedir, "scripts")

try:
    experiment = Experiment.load(CONFIG)
except InputError as error:
    sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))
with open(CONFIG, encoding="utf-8") as file:
    if config and config != yaml.safe_load(file):
        sys.exit(f"error: --config cannot change single settings, since every job reads {CONFIG}: change that file, or a copy")


def local(path):
    """A path as short as it can be: from the repository where it lies inside it."""
    path = str(path)
    return os.path.relpath(path, workflow.basedir) if path.startswith(workflow.basedir + os.sep) else path


RESULTS = local(experiment.results)
RESOURCES = local(experiment.resources)
LOGS = f"{RESULTS}/logs"
GPUS = 1 if experiment.config.device == "cuda" else 0


def existing(path, key):
    """An input that the user brings. Says what is missing, and where that was asked for, in place of Snakemake's list."""
    if not os.path.exists(path) and local(path) not in DOWNLOADS:
        sys.exit(f"error: {CONFIG}: {key}: no such file or folder: {path}")
    return local(path)

