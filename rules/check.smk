"""Everything that can be found wrong before long work starts.

Inputs: models (local folders, or what the download rule fetched), prompts, extractor weights.
Outputs: results/<name>/models/<model>.json, results/<name>/checked.json.

On one machine these rules come first without being inputs of what follows: they have a higher priority and take all cores.
On a cluster jobs are submitted beside them: there, run `snakemake check` before. (An input that is `ancient` would do the same, but where its job is planned Snakemake 9.27 forgets to look for
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
    retries: 0
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
        weights=all_weights,
        statistics=ready_statistics,
    output:
        checked=f"{RESULTS}/checked.json",
    log:
        f"{LOGS}/check_experiment.log",
    priority: CHECKS_FIRST
    retries: 0
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
