"""Images, in shards: one GPU job each.

Inputs: prompts, the validated model.
Outputs: results/<name>/images/<arm>/<rows>.tar and .json. Work in progress is kept in .partial/ next to them, declared by no
rule, because Snakemake deletes the declared outputs of a job that failed.
"""


rule generate_shard:
    input:
        prompts=rules.extract_prompts.output.prompts,
        model=lambda wildcards: paths.model_record(experiment.arm(wildcards.arm).model),
    output:
        archive=paths.archive("{arm}", "{rows}"),
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
