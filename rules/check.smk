"""Everything that can be found wrong before long work starts.

Inputs: models (local folders, or what the download rule fetched), prompts, extractor weights.
Outputs: results/<name>/models/<model>.json, results/<name>/checked.json.

On one machine these rules come first without being inputs of what follows: they have a higher priority and take all cores.
On a cluster other jobs are submitted at the same time: there, run `snakemake check` before. (An input that is `ancient` would do the same, but where its job is planned Snakemake 9.27 forgets to look for
other reasons to run what follows: a new N would plan nothing.)
"""

LARGEST = [max(view.config.sample_sizes) for view in experiment.sets.values()]


localrules:
    check_model,
    check_experiment,


rule check_model:
    input:
        # Local folders are checked by the script.
        downloads=lambda wildcards: DOWNLOADED_PARTS[experiment.of_record(wildcards.model)[1]],
        prompts=lambda wildcards: (
            experiment.of_record(wildcards.model)[0].paths.prompts
            if validated_model(wildcards).checked_against_prompts
            else []
        ),
    output:
        model=paths.model_record("{model}"),
    log:
        paths.log("check_model", "{model}"),
    benchmark:
        paths.benchmark("check_model", "{model}")
    priority: CHECKS_FIRST
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        model=lambda wildcards: validated_model(wildcards).model_dump_json(exclude={"answers", "chat", "identical_to"}),
    shell:
        "python scripts/check_model.py" " --model {wildcards.model:q}" " --log {log:q}"


rule check_experiment:
    input:
        prompts=PROMPTS,
        models=expand(rules.check_model.output.model, model=experiment.record_names()),
        weights=lambda wildcards: [
            path for extractor in experiment.config.extractors for path in weights_file(extractor)
        ],
        statistics=lambda wildcards: [
            existing(experiment.path(path), "extractors: reference_statistics") for path in READY.values()
        ],
    output:
        checked=paths.checked,
    log:
        paths.log("check_experiment"),
    benchmark:
        paths.benchmark("check_experiment")
    priority: CHECKS_FIRST
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        largest_n=LARGEST[0] if len(LARGEST) == 1 else LARGEST,
    shell:
        "python scripts/check_experiment.py --log {log:q}"
