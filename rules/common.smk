"""Config to experiment object and its paths, and what several rules need; helpers of a single rule are in that rule's file.

The scripts read the config file themselves, look up arms, extractors and references by names that carry their fingerprints,
and work out their files from the same `paths`: a config edited while jobs wait can never mix settings.
"""

import functools
import os
import shlex
import sys

import yaml

# The clone, or part of the installed package; results, resources and logs lie in the experiment's project.
WORKFLOW = os.path.dirname(os.path.realpath(str(workflow.current_basedir)))
sys.path.insert(0, os.path.join(WORKFLOW, "src"))

from emudrift.config.experiment import Experiment
from emudrift.config.paths import shortened
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError
from emudrift.evaluation.human.study import design_study, imported_tables, rated_set
from emudrift.report.gallery import row_blocks
from emudrift.runtime.permissions import refuse_read_only
from emudrift.runtime.terminal import fail, survive_closed_pipes

survive_closed_pipes("snakemake.logging")
if len(workflow.configfiles) > 1:
    fail(
        "give one --configfile; settings of several files are not merged, and a target comes before it: snakemake plan --configfile X"
    )
CONFIG = str(workflow.configfiles[0] if workflow.configfiles else os.path.join(workflow.basedir, "config.yaml"))
os.environ.update(
    # The scripts find the config here, not in their arguments: another file name, or a setting that does not concern a
    # job, must not make Snakemake run that job again.
    EMUDRIFT_CONFIG=CONFIG,
    # `python` in a rule is the Python that runs Snakemake, also where its environment is not activated; or that of a container,
    # unless this is inside of it. And the plugin that submits to SLURM asks our sacct, which always has an answer.
    PATH=os.pathsep.join(
        [
            (
                os.path.join(WORKFLOW, "envs", "container")
                if "EMUDRIFT_CONTAINER" in os.environ and "APPTAINER_CONTAINER" not in os.environ
                else os.path.dirname(sys.executable)
            ),
            os.path.join(WORKFLOW, "scripts", "slurm"),
            os.environ.get("PATH", os.defpath),
        ]
    ),
)

try:
    experiment = Experiment.load(CONFIG)
except InputError as error:
    fail(str(error))
with open(CONFIG, encoding="utf-8") as file:
    if config and config != yaml.safe_load(file):
        fail(f"--config cannot change single settings, since every job reads {CONFIG}; change that file, or a copy")

PROJECT = str(experiment.project)


workdir: PROJECT


if PROJECT != WORKFLOW:
    # The rules' `python scripts/x.py`: a function, and not another text in the rules, which would run all their jobs again.
    SCRIPTS = shlex.quote(f"{WORKFLOW}/").replace("{", "{{").replace("}", "}}")
    shell.prefix(f'set -euo pipefail; python() {{{{ command python {SCRIPTS}"$@"; }}}}; ')
# As short as they can be: Snakemake runs in the project.
experiment.seen_from(PROJECT)
paths = experiment.paths
if workflow.is_main_process and not workflow.dryrun:
    try:
        refuse_read_only(paths.results)
    except InputError as error:
        fail(str(error))
CHECKS_FIRST = 10
ALL_CORES = 1000  # Snakemake gives a local job as many as there are.
GPUS = 1 if experiment.config.device == "cuda" else 0


def local(path):
    return str(shortened(path, PROJECT))


def existing(path, key):
    """An input that the user brings. Says what is missing, and where that was asked for, in place of Snakemake's list."""
    if not os.path.exists(path) and local(path) not in DOWNLOADS:
        fail(f"{CONFIG}: {key}: no such file or folder: {path}")
    return local(path)


def rows_of(n=None):
    """The names of the shards that hold the first n images of the main set of prompts (default: of its largest N)."""
    return [shard.name for shard in experiment.shards(n and int(n))]


def weights_file(extractor):
    """The file that shows that an extractor's weights are present, as an input; none if it needs no file."""
    path = extractor.weights_file(experiment)
    return [] if path is None else [existing(path, f"extractors: {extractor.weights_key()}")]


@functools.cache
def weights_by_name(extractor):
    """Looked for once, and not for each of thousands of shards."""
    return weights_file(experiment.extractor(extractor))


def weights_of_extractor(wildcards):
    """Of an extractor that may be named as one of a further set of prompts."""
    return weights_by_name(experiment.in_set(wildcards.extractor)[1])
