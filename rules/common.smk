"""Config to experiment object, paths, and the functions that say what a rule needs; nothing else.

The scripts read the config file themselves and look up arms, extractors and references by names that carry their
fingerprints, so a config edited while jobs wait can never mix settings.
"""

import functools
import os
import sys

import yaml

sys.path.insert(0, os.path.join(workflow.basedir, "src"))

from emudrift.report.gallery import row_blocks
from emudrift.errors import InputError
from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.evaluation.human.study import design_study
from emudrift.runtime.terminal import fail

if len(workflow.configfiles) > 1:
    fail("give one --configfile; settings of several files are not merged")
CONFIG = str(workflow.configfiles[0] if workflow.configfiles else os.path.join(workflow.basedir, "config.yaml"))
os.environ.update(
    # The scripts find the config here, not in their arguments: another file name, or a setting that does not concern a
    # job, must not make Snakemake run that job again.
    EMUDRIFT_CONFIG=CONFIG,
    # `python` in a rule is the Python that runs Snakemake, also where its environment is not activated. And the plugin that
    # submits to SLURM asks our sacct, which always has an answer.
    PATH=os.pathsep.join(
        [
            os.path.dirname(sys.executable),
            os.path.join(workflow.basedir, "scripts", "slurm"),
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


def local(path):
    """A path as short as it can be: from the repository where it lies inside it."""
    path = str(path)
    return os.path.relpath(path, workflow.basedir) if path.startswith(workflow.basedir + os.sep) else path


RESULTS = local(experiment.results)
RESOURCES = local(experiment.resources)
LOGS = f"{RESULTS}/logs"
CHECKS_FIRST = 10
ALL_CORES = 1000  # Snakemake gives a local job as many as there are.
GPUS = 1 if experiment.config.device == "cuda" else 0


def existing(path, key):
    """An input that the user brings. Says what is missing, and where that was asked for, in place of Snakemake's list."""
    if not os.path.exists(path) and local(path) not in DOWNLOADS:
        fail(f"{CONFIG}: {key}: no such file or folder: {path}")
    return local(path)


def prompt_inputs(wildcards):
    settings = experiment.config.prompts
    inputs = {"captions": existing(experiment.path(settings.captions), "prompts: captions")}
    if settings.images is not None:
        # Only that the images exist matters here, never their times.
        inputs["images"] = ancient(existing(experiment.path(settings.images), "prompts: images"))
    return inputs


def checkpoint_records(wildcards):
    """Downloads that a model waits for; local folders are looked at by the script."""
    model = experiment.model(wildcards.model)
    folders = experiment.checkpoint_folders(model)
    return [
        f"{local(folders[role])}.json"
        for role, checkpoint in experiment.checkpoints(model).items()
        if checkpoint.hub is not None
    ]


def pipeline_parts(models):
    """Arguments of download_model: which variant of the weights of a pipeline, and whether its code; "" for other models."""
    if not models:
        return ""
    # All models of a folder ask for the same.
    return f"--variants {models[0].variant or 'none'}{' --code' if models[0].trust_remote_code else ''}"


def folder_prompts(wildcards):
    """Only images that exist already must be matched with prompts."""
    return rules.extract_prompts.output.prompts if experiment.model(wildcards.model).generator == "folder" else []


def weights_file(extractor):
    """What says that an extractor's weights are there, as an input: one path, or none where it draws its own."""
    path = experiment.extractor_file(extractor)
    key = "weights" if hasattr(extractor, "weights") else "checkpoint: path"
    return [] if path is None else [existing(path, f"extractors: {key}")]


def model_of_arm(wildcards):
    return expand(rules.check_model.output.model, model=experiment.arm(wildcards.arm).model)


@functools.cache
def weights_by_name(extractor):
    """Looked for once, and not for each of thousands of shards."""
    return weights_file(experiment.extractor(extractor))


def weights_of_extractor(wildcards):
    return weights_by_name(wildcards.extractor)


def weights_of_reference(wildcards):
    return weights_file(REFERENCES[f"{RESOURCES}/reference/{wildcards.reference}"])


def ready_statistics(wildcards):
    return [existing(experiment.path(path), "extractors: reference_statistics") for path in READY.values()]


def all_weights(wildcards):
    return [path for extractor in experiment.config.extractors for path in weights_file(extractor)]


def list_inputs(wildcards):
    inputs = {"images": ancient(existing(experiment.reference_images, "reference: images"))}
    if experiment.config.reference.images == "dataset":
        inputs["captions"] = existing(experiment.path(experiment.config.prompts.captions), "prompts: captions")
    return inputs


def statistics_inputs(wildcards):
    base = f"{RESOURCES}/reference/{wildcards.reference}"
    if base in READY:
        return existing(experiment.path(READY[base]), "extractors: reference_statistics")
    return f"{base}.npy"


def fid_inputs(wildcards):
    extractor = experiment.extractor(wildcards.extractor)
    base = local(experiment.reference_base(extractor))
    inputs = {
        "features": expand(
            rules.extract_features.output.features,
            extractor=wildcards.extractor,
            arm=wildcards.arm,
            rows=[shard.name for shard in experiment.shards(int(wildcards.n))],
        )
    }
    if wildcards.selection == "same":
        return inputs | {
            "reference": f"{base}.npy",
            "images": local(experiment.reference_list),
            "prompts": rules.extract_prompts.output.prompts,
        }
    return inputs | {"reference": f"{base}.npz"}


def archives_of_arm(wildcards):
    return expand(
        rules.generate_shard.output.archive, arm=wildcards.arm, rows=[shard.name for shard in experiment.shards()]
    )


def rated_archives(wildcards):
    design = design_study(experiment)
    rows = [shard.name for shard in experiment.shards(design.prompts)]
    return expand(rules.generate_shard.output.archive, arm=design.arms, rows=rows)


def rated_study(wildcards):
    """What the settings leave to the rest of the config: how many prompts, and which arms in which order."""
    design = design_study(experiment)
    return [design.prompts, *design.arms]


def gallery_inputs(wildcards):
    block = RowRange.parse(wildcards.rows)
    arms = row_blocks.generated_arms(experiment)
    return {
        "prompts": rules.extract_prompts.output.prompts,
        "archives": [*map(local, row_blocks.archive_files(experiment, block))],
        "features": [local(path) for arm in arms for path in row_blocks.feature_files(experiment, arm, block)],
    }
