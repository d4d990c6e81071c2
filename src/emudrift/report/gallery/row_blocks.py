"""Which prompts the gallery shows, in which jobs its thumbnails are made, and from which files; known from the config alone."""

from pathlib import Path

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange

# A page stays quick with this many prompts; those of a larger experiment are a random sample, being in random order.
MOST_PROMPTS = 10_000
# Prompts per job, in whole shards: some minutes of work.
BLOCK = 1_000


def blocks(experiment: Experiment) -> list[RowRange]:
    """The row ranges that the gallery is made in: whole shards, at most MOST_PROMPTS rows and the shard they end in."""
    shards = [shard for shard in experiment.shards() if shard.start < MOST_PROMPTS]
    together = max(1, BLOCK // experiment.config.shard_size)
    parts = [shards[start : start + together] for start in range(0, len(shards), together)]
    return [RowRange(part[0].start, part[-1].stop) for part in parts]


def shards_of(experiment: Experiment, block: RowRange) -> list[RowRange]:
    """The shards of a block, in row order."""
    return [shard for shard in experiment.shards() if block.start <= shard.start < block.stop]


def eye(experiment: Experiment) -> str:
    """Full name of the extractor by which arms disagree: the first one of FID."""
    return next(experiment.extractor_name(each) for each in experiment.config.extractors if each.distance is not None)


def drawing_arms(experiment: Experiment) -> list[Arm]:
    """Those that a model drew: all but the floors of tokenizers."""
    return [arm for arm in experiment.arms() if arm.model not in experiment.floors]


def archive_files(experiment: Experiment, block: RowRange) -> list[Path]:
    """The archives of all arms that hold a block."""
    shards = shards_of(experiment, block)
    return [experiment.paths.archive(arm.name, shard.name) for arm in experiment.arms() for shard in shards]


def feature_files(experiment: Experiment, arm: Arm, block: RowRange) -> list[Path]:
    """The features of an arm's images in a block, by `eye`, in row order."""
    return [experiment.paths.features(eye(experiment), arm.name, shard.name) for shard in shards_of(experiment, block)]


def clip_score_files(experiment: Experiment) -> dict[str, Path]:
    """The CLIPScores of every arm's images, by the first network that makes them; empty where none does."""
    found = [extractor for metric, extractor in experiment.metric_jobs() if metric == "clip_score"][:1]
    n = str(max(experiment.config.sample_sizes))
    return {
        arm.name: experiment.paths.per_image("clip_score", extractor, arm.name, n)
        for extractor in found
        for arm in experiment.arms()
    }
