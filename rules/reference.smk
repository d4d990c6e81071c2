"""The real images: their list, features and statistics, cached in resources/ and shared by experiments.

Inputs: the dataset's captions or a folder or archive of images; or ready statistics.
Outputs: resources/reference/<key>.images.csv, <key>.npy, <key>.npz, <key>.ladder.json. No input here belongs to one experiment alone, else
another experiment would recompute them.
"""

from emudrift.runtime.snakemake_locks import made_elsewhere

# View of the set of prompts, and extractor.
REFERENCES = experiment.references()
READY = {key: e.ready_statistics for key, (_, e) in REFERENCES.items() if e.ready_statistics is not None}
REFERENCE_LIST = [experiment.reference_list] if experiment.needs_reference_images else []
# Of further sets with other real images, by the keys in their names.
LISTS = {view.reference_list: view for view in experiment.sets.values() if view.needs_reference_images}
# Snakemake's advice in this case, to unlock the folder, would let two runs make the same file.
if workflow.is_main_process and (made := made_elsewhere(PROJECT, experiment.reference_files())):
    print(
        f"note: {made[0]} is being made by another run of Snakemake in this folder, or by one that was killed: if "
        "pgrep -u $USER -af snakemake shows it, wait until it is done and run again; if not, run snakemake --unlock",
        file=sys.stderr,
    )


localrules:
    list_reference_images,
    list_further_reference_images,


rule list_reference_images:
    input:
        images=lambda wildcards: listed_images_of(experiment.main),
        captions=lambda wildcards: listed_captions_of(experiment.main),
        selection=listed_selection_of(experiment.main),
    output:
        images=REFERENCE_LIST,
    log:
        paths.log("list_reference_images"),
    benchmark:
        paths.benchmark("list_reference_images")
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=8000,
        runtime=30,
    shell:
        "python scripts/list_reference_images.py --log {log:q}"


rule list_further_reference_images:
    input:
        images=lambda wildcards: listed_images_of(LISTS[paths.reference_list(wildcards.key)]),
        captions=lambda wildcards: listed_captions_of(LISTS[paths.reference_list(wildcards.key)]),
        selection=lambda wildcards: listed_selection_of(LISTS[paths.reference_list(wildcards.key)]),
    output:
        images=paths.reference_list("{key}"),
    log:
        paths.log("list_further_reference_images", "{key}"),
    benchmark:
        paths.benchmark("list_further_reference_images", "{key}")
    wildcard_constraints:
        key="|".join(path.name.partition(".")[0] for path in LISTS if path not in REFERENCE_LIST) or "(?!)",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        prompt_set=lambda wildcards: LISTS[paths.reference_list(wildcards.key)].prompt_set,
    shell:
        "python scripts/list_reference_images.py --prompt-set {params.prompt_set:q} --log {log:q}"


rule reference_features:
    input:
        images=list_of,
        weights=lambda wildcards: weights_file(REFERENCES[wildcards.reference][1]),
    output:
        features=paths.reference_features("{reference}"),
    log:
        paths.shared_log("reference_features", "{reference}"),
    benchmark:
        paths.shared_benchmark("reference_features", "{reference}")
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=16000 if GPUS else 4000,
        runtime=240,
        batch_size=experiment.config.resources.feature_batch_size,
    params:
        extractor=extractor_of,
    shell:
        "python scripts/reference_features.py"
        " --extractor {params.extractor:q}"
        " --batch-size {resources.batch_size}"
        " --log {log:q}"


rule reference_statistics:
    input:
        lambda wildcards: (
            existing(experiment.path(READY[wildcards.reference]), "extractors: reference_statistics")
            if wildcards.reference in READY
            else paths.reference_features(wildcards.reference)
        ),
    output:
        statistics=paths.reference_statistics("{reference}"),
    log:
        paths.shared_log("reference_statistics", "{reference}"),
    benchmark:
        paths.shared_benchmark("reference_statistics", "{reference}")
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        extractor=extractor_of,
    shell:
        "python scripts/reference_statistics.py" " --extractor {params.extractor:q}" " --log {log:q}"


rule reference_ladder:
    input:
        images=list_of,
        features=paths.reference_features("{reference}"),
        statistics=paths.reference_statistics("{reference}"),
        weights=lambda wildcards: weights_file(REFERENCES[wildcards.reference][1]),
    output:
        ladder=paths.ladder("{reference}"),
    log:
        paths.shared_log("reference_ladder", "{reference}"),
    benchmark:
        paths.shared_benchmark("reference_ladder", "{reference}")
    conda:
        "../envs/emudrift.yaml"
    threads: 4 if GPUS else 1
    resources:
        mem_mb=16000 if GPUS else 4000,
        runtime=480,
        batch_size=experiment.config.resources.feature_batch_size,
    params:
        extractor=extractor_of,
    shell:
        "python scripts/reference_ladder.py"
        " --extractor {params.extractor:q}"
        " --batch-size {resources.batch_size}"
        " --log {log:q}"
