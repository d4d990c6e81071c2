"""Clusters that give out whole nodes: one job per node, which generates as many shards at once as the node has GPUs.

snakemake --profile slurm generate_on_nodes      then everything else as usual: snakemake --profile slurm

Inputs: prompts, the validated models.
Outputs: manifests with their archives, as in rules/generate.smk, which a second Snakemake makes on the node; by itself only a marker
for each job, results/<name>/.nodes/<n>.
"""

from emudrift.generation.whole_nodes import node_shards, unfinished_nodes

NODE_SHARDS = node_shards(experiment)


rule generate_on_node:
    input:
        prompts=lambda wildcards: sorted(
            {experiment.set_of(arm).paths.prompts for arm, _ in NODE_SHARDS[int(wildcards.node)]}
        ),
        models=lambda wildcards: sorted({model_record_of(arm) for arm, _ in NODE_SHARDS[int(wildcards.node)]}),
    output:
        marker=touch(paths.node_marker("{node}")),
    log:
        paths.log("generate_on_node", "{node}"),
    benchmark:
        paths.benchmark("generate_on_node", "{node}")
    conda:
        "../envs/emudrift.yaml"
    resources:
        gpu=experiment.config.resources.gpus_per_node,
        mem_mb=48000 * experiment.config.resources.gpus_per_node if GPUS else 8000,
        runtime=720,
    params:
        shards=lambda wildcards: NODE_SHARDS[int(wildcards.node)],
    shell:
        "python scripts/generate_on_node.py" " --node {wildcards.node}" " --gpus {resources.gpu}" " --log {log:q}"
