"""The prompt table.

Inputs: the captions file of the config, and its images (only their names).
Outputs: results/<name>/prompts.parquet.
"""


localrules:
    extract_prompts,


rule extract_prompts:
    input:
        unpack(prompt_inputs),
    output:
        prompts=f"{RESULTS}/prompts.parquet",
    log:
        f"{LOGS}/extract_prompts.log",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        settings=experiment.config.prompts.model_dump_json(exclude={"captions", "images"}),
        seed=experiment.config.seed,
    shell:
        "python scripts/extract_prompts.py --output {output.prompts:q} --log {log:q}"
