"""Shards in jobs for whole nodes (rules/whole_nodes.smk): as many for each as a node has GPUs."""

from pathlib import Path

from emudrift.config.experiment import Experiment


def node_shards(experiment: Experiment) -> list[list[tuple[str, str]]]:
    """Arm and rows of the shards of each job. Shards of an arm follow each other, so that a node loads few checkpoints."""
    views = experiment.sets.values()
    shards = [(arm.name, shard.name) for view in views for arm in view.arms() for shard in view.shards()]
    size = experiment.config.resources.gpus_per_node
    return [shards[start : start + size] for start in range(0, len(shards), size)]


def unfinished_nodes(experiment: Experiment) -> list[Path]:
    """The markers of jobs with shards that do not exist; removes such a marker if it was left from shards since removed."""
    markers = []
    for node, shards in enumerate(node_shards(experiment)):
        if not all(experiment.paths.manifest(*shard).exists() for shard in shards):
            markers.append(experiment.paths.node_marker(str(node)))
            markers[-1].unlink(missing_ok=True)
    return markers
