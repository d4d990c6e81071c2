"""The prompt table.

Inputs: the captions file of the config, and its images (only their names).
Outputs: results/<name>/prompts.parquet.
"""


def prompt_inputs(wildcards):
    settings = experiment.config.prompts
    inputs = {"captions": existing(experiment.path(settings.captions), "prompts: captions")}
    if settings.images is not None:
        # Only that the images exist matters here, never their times.
        inputs["images"] = ancient(existing(experiment.path(settings.images), "prompts: images"))
    return inputs


rule extract_prompts:
    input:
        unpack(prompt_inputs),
    output:
        prompts=f"{RESULTS}/prompts.parquet",
    log:
        f"{LOGS}/extract_prompts.log",
    conda:
        "../envs/emudrift.yaml"
    priority: 10
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        settings=experiment.config.prompts.model_dump_json(exclude={"captions", "images"}),
        seed=experiment.config.seed,
    shell:
        "python {SCRIPTS}/extract_prompts.py --config {CONFIG:q} --output {output.prompts:q} --log {log:q}"
