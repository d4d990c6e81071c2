"""Everything that can be found wrong before long work starts.

Inputs: models (local folders, or what the download rule fetched), prompts, extractor weights.
Outputs: results/<name>/models/<model>.json, results/<name>/checked.json.

These rules come first without being inputs of what follows: they run where Snakemake runs, with a higher priority, and take
all its cores. (An input that is `ancient` would do the same, but where its job is planned Snakemake 9.27 forgets to look for
other reasons to run what follows: a new N would plan nothing.)
"""


localrules:
    check_model,
    check_experiment,


rule check_model:
    input:
        downloads=checkpoint_records,
        prompts=folder_prompts,
    output:
        model=f"{RESULTS}/models/{{model}}.json",
    log:
        f"{LOGS}/check_model/{{model}}.log",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        model=lambda wildcards: experiment.model(wildcards.model).model_dump_json(),
        prompts=lambda wildcards, input: f"--prompts '{input.prompts}'" if input.prompts else "",
    shell:
        "python scripts/check_model.py --model {wildcards.model} {params.prompts}"
        " --output {output.model:q} --log {log:q}"


rule check_experiment:
    input:
        prompts=rules.extract_prompts.output.prompts,
        models=expand(rules.check_model.output.model, model=experiment.model_names),
        weights=extractor_weights(),
    output:
        checked=f"{RESULTS}/checked.json",
    log:
        f"{LOGS}/check_experiment.log",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        largest_n=max(experiment.config.sample_sizes),
    shell:
        "python scripts/check_experiment.py --prompts {input.prompts:q} --models {input.models:q}"
        " --output {output.checked:q} --log {log:q}"
