"""The prompt table of each set of prompts.

Inputs: the captions files of the config, and their images (only their names).
Outputs: results/<name>/prompts-<key>.parquet, one for each choice of these settings.
"""

# Further sets of prompts by the keys of their tables.
SETS = {view.paths.prompt_key: view for view in reversed(experiment.sets.values())}
PROMPTS = [view.paths.prompts for view in experiment.sets.values()]


localrules:
    extract_prompts,
    extract_further_prompts,


rule extract_prompts:
    input:
        captions=lambda wildcards: captions_of(experiment.main),
        images=lambda wildcards: dataset_images_of(experiment.main),
        selection=selection_of(experiment.main),
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


rule extract_further_prompts:
    input:
        captions=lambda wildcards: captions_of(SETS[wildcards.key]),
        images=lambda wildcards: dataset_images_of(SETS[wildcards.key]),
        selection=lambda wildcards: selection_of(SETS[wildcards.key]),
    output:
        prompts=paths.prompt_table("{key}"),
    log:
        paths.log("extract_further_prompts", "{key}"),
    benchmark:
        paths.benchmark("extract_further_prompts", "{key}")
    wildcard_constraints:
        key="|".join(SETS.keys() - {paths.prompt_key}) or "(?!)",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        prompt_set=lambda wildcards: SETS[wildcards.key].prompt_set,
        settings=lambda wildcards: SETS[wildcards.key].prompt_settings(),
    shell:
        "python scripts/extract_prompts.py --prompt-set {params.prompt_set:q} --log {log:q}"
