"""Row blocks of the gallery: which prompts it shows, one job per block, and its input files. Follows from the config alone."""

from pathlib import Path

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError

# The page stays responsive with this many prompts. They are a random sample of a larger experiment: rows are in random order.
MOST_PROMPTS = 10_000
# Prompts per job (rounded to whole shards): a few minutes of work.
BLOCK = 1_000


def blocks(experiment: Experiment) -> list[RowRange]:
    """The gallery's row ranges: whole shards, covering MOST_PROMPTS rows rounded up to a whole shard."""
    shards = [shard for shard in experiment.shards() if shard.start < MOST_PROMPTS]
    together = max(1, BLOCK // experiment.config.shard_size)
    parts = [shards[start : start + together] for start in range(0, len(shards), together)]
    return [RowRange(part[0].start, part[-1].stop) for part in parts]


def names_of_blocks(experiment: Experiment) -> list[str]:
    """The blocks of all sets of prompts: `000000-001000`, and `flickr30k/000000-001000` of a set that is not the main one."""
    return [
        f"{view.paths.further_set}/{block.name}".lstrip("/")
        for view in experiment.sets.values()
        for block in blocks(view)
    ]


def block_named(experiment: Experiment, name: str) -> tuple[Experiment, RowRange]:
    """The view of its set, and the rows. Raises InputError where there is no such set, or the rows are no range."""
    prompt_set, _, rows = name.rpartition("/")
    if prompt_set and prompt_set not in experiment.sets:
        raise InputError(f"{experiment.config_path}: prompts: no set is named {prompt_set!r}; was it removed?")
    return experiment.sets[prompt_set] if prompt_set else experiment.main, RowRange.parse(rows)


def ranking_extractor(experiment: Experiment) -> str:
    """Full name of the extractor whose features rank prompts by disagreement: the first one used for FID."""
    return next(experiment.extractor_name(each) for each in experiment.config.extractors if each.distance is not None)


def manifest_files(experiment: Experiment, block: RowRange) -> list[Path]:
    """The manifests of all arms' shards that contain a block."""
    shards = experiment.shards_in(block)
    return [experiment.paths.manifest(arm.name, shard.name) for arm in experiment.arms() for shard in shards]


def feature_files(experiment: Experiment, arm: Arm, block: RowRange) -> list[Path]:
    """Files with the `ranking_extractor` features of an arm's images in a block, in row order."""
    extractor = ranking_extractor(experiment)
    return [experiment.paths.features(extractor, arm.name, shard.name) for shard in experiment.shards_in(block)]


def extracted_files(experiment: Experiment, block: RowRange) -> list[Path]:
    """What shows that the features of all generated images in a block are there."""
    extractor, shards = ranking_extractor(experiment), experiment.shards_in(block)
    return [
        path for arm in experiment.generated_arms() for path in experiment.extracted_files(extractor, arm.name, shards)
    ]


def clip_score_files(experiment: Experiment) -> dict[str, Path]:
    """The CLIPScores of every arm's images, by the first network that makes them; empty where none does."""
    found = [extractor for metric, extractor in experiment.metric_jobs() if metric == "clip_score"][:1]
    n = str(max(experiment.config.sample_sizes))
    return {
        arm.name: experiment.paths.per_image("clip_score", extractor, arm.name, n)
        for extractor in found
        for arm in experiment.arms()
    }
