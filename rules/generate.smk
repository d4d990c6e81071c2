"""Images, in shards: one GPU job each.

Inputs: prompts, the validated model.
Outputs: results/<name>/images/<arm>/<rows>.json, the manifest, with the archive <rows>.tar next to it.

Snakemake deletes the declared outputs of a job that failed, and of every job that it runs again, for whatever reason: copied
files without their times, `-R`, a late duplicate. So the archive is declared by no rule, nor is the work in progress in .partial/.
A job that finds its archive verifies it and writes the manifest again; it generates only what is missing or damaged.
"""


rule generate_shard:
    input:
        prompts=prompts_of,
        model=lambda wildcards: model_record_of(wildcards.arm),
    output:
        manifest=paths.manifest("{arm}", "{rows}"),
    log:
        paths.log("generate_shard", "{arm}", "{rows}"),
    benchmark:
        paths.benchmark("generate_shard", "{arm}", "{rows}")
    conda:
        "../envs/emudrift.yaml"
    threads: 2 if GPUS else 1  # On a GPU images are written while the next ones are generated.
    resources:
        gpu=GPUS,
        mem_mb=48000 if GPUS else 4000,
        runtime=720,
        batch_size=experiment.config.resources.generation_batch_size,
    shell:
        "python scripts/generate_shard.py"
        " --arm {wildcards.arm:q}"
        " --rows {wildcards.rows:q}"
        " --batch-size {resources.batch_size}"
        " --log {log:q}"
