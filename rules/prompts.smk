"""The prompt table.

Inputs: the captions file of the config, and its images (only their names).
Outputs: results/<name>/prompts.parquet.
"""


rule extract_prompts:
    input:
        unpack(prompt_inputs),
    output:
        prompts=f"{RESULTS}/prompts.parquet",
    log:
        f"{LOGS}/extract_prompts.log",
    priority: 10
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        settings=experiment.config.prompts.model_dump_json(exclude={"captions", "images"}),
        seed=experiment.config.seed,
    shell:
        "python scripts/extract_prompts.py --output {output.prompts:q} --log {log:q}"
