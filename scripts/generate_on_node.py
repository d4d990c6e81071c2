"""Generates the shards of one job on a whole node, as many at once as it has GPUs, with a Snakemake of its own."""

import argparse
import subprocess
import sys
from pathlib import Path

import door

from emudrift.config.experiment import Experiment
from emudrift.errors import InputError
from emudrift.generation.whole_nodes import node_shards


def main() -> None:
    parser = door.parser(__doc__)
    parser.add_argument("--node", required=True, type=int, help="number of the job, from 0")
    parser.add_argument("--gpus", required=True, type=door.positive, help="shards generated at once")
    door.enter(generate, parser.parse_args())


def generate(arguments: argparse.Namespace) -> None:
    experiment = Experiment.load(arguments.config)
    paths = experiment.paths.seen_from(Path.cwd())  # as Snakemake names them
    manifests = [str(paths.manifest(*shard)) for shard in node_shards(experiment)[arguments.node]]
    options = ["--configfile", str(arguments.config), "--profile", "profiles/local"]
    options += ["--resources", f"gpu={arguments.gpus}", "--set-resources", "generate_shard:gpu=1"]
    # Not locked: the Snakemake that submitted this job holds the lock, and each shard has one of its own.
    command = [sys.executable, "-m", "snakemake", *manifests, *options, "--nolock"]
    if subprocess.run(command, check=False).returncode:
        raise InputError("not all shards were generated; the logs of generate_shard say why")


if __name__ == "__main__":
    main()
