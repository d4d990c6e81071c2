"""The prompt table.

Inputs: the captions file of the config, and its images (only their names).
Outputs: results/<name>/prompts-<key>.parquet, one for each choice of these settings.
"""


localrules:
    extract_prompts,


rule extract_prompts:
    input:
        captions=lambda wildcards: existing(experiment.path(experiment.config.prompts.captions), "prompts: captions"),
        # Only that the images exist matters here, never their times.
        images=lambda wildcards: [
            ancient(existing(experiment.path(images), "prompts: images"))
            for images in [experiment.config.prompts.images]
            if images is not None
        ],
        selection=experiment.annotations.selection(experiment.config.prompts.where) or [],
    output:
        prompts=paths.prompts,
    log:
        paths.log("extract_prompts"),
    benchmark:
        paths.benchmark("extract_prompts")
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        settings=experiment.prompt_settings(),  # The key in the table's name is made of them.
    shell:
        "python scripts/extract_prompts.py --log {log:q}"
