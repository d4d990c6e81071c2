"""Everything that can be found wrong before long work starts.

Inputs: models (local folders, or what the download rule fetched), prompts, extractor weights.
Outputs: results/<name>/models/<model>.json, results/<name>/checked.json.
"""


def checkpoint_records(wildcards):
    """Downloads that a model waits for; local folders are looked at by the script."""
    model = experiment.model(wildcards.model)
    checkpoints = [getattr(model, "checkpoint", None), getattr(model, "adapter", None)]
    return [
        local(experiment.checkpoint_folder(checkpoint)) + ".json"
        for checkpoint in checkpoints
        if checkpoint is not None and checkpoint.hub is not None
    ]


def folder_prompts(wildcards):
    """Only images that exist already must be matched with prompts."""
    return rules.extract_prompts.output.prompts if experiment.model(wildcards.model).generator == "folder" else []


def extractor_weights():
    paths = [experiment.weights(extractor) for extractor in experiment.config.extractors]
    return [local(path) for path in paths if path is not None]


rule check_model:
    input:
        downloads=checkpoint_records,
        prompts=folder_prompts,
    output:
        model=f"{RESULTS}/models/{{model}}.json",
    log:
        f"{LOGS}/check_model/{{model}}.log",
    conda:
        "../envs/emudrift.yaml"
    priority: 10
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        model=lambda wildcards: experiment.model(wildcards.model).model_dump_json(),
        prompts=lambda wildcards, input: f"--prompts '{input.prompts}'" if input.prompts else "",
    shell:
        "python {SCRIPTS}/check_model.py --config {CONFIG:q} --model {wildcards.model} {params.prompts}"
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
    conda:
        "../envs/emudrift.yaml"
    priority: 10
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        largest_n=max(experiment.config.sample_sizes),
    shell:
        "python {SCRIPTS}/check_experiment.py --config {CONFIG:q} --prompts {input.prompts:q} --models {input.models:q}"
        " --output {output.checked:q} --log {log:q}"
