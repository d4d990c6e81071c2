"""The real images: their list, features and statistics, cached in resources/ and shared by experiments.

Inputs: the dataset's captions or a folder or archive of images; or ready statistics.
Outputs: resources/reference/<key>.images.csv, <key>.npy, <key>.npz, <key>.ladder.json. No input here belongs to one experiment alone, else
another experiment would recompute them.
"""

from emudrift.runtime.snakemake_locks import made_elsewhere

REFERENCES = {experiment.reference_key(extractor): extractor for extractor in experiment.config.extractors}
READY = {key: e.ready_statistics for key, e in REFERENCES.items() if e.ready_statistics is not None}
REFERENCE_LIST = [experiment.reference_list] if experiment.needs_reference_images else []
# Snakemake's advice in this case, to unlock the folder, would let two runs make the same file.
if workflow.is_main_process and (made := made_elsewhere(PROJECT, experiment.reference_files())):
    print(
        f"note: {made[0]} is being made by another run of Snakemake in this folder, or by one that was killed: if "
        "pgrep -u $USER -af snakemake shows it, wait until it is done and run again; if not, run snakemake --unlock",
        file=sys.stderr,
    )


localrules:
    list_reference_images,


rule list_reference_images:
    input:
        images=lambda wildcards: ancient(existing(experiment.reference_images, "reference: images")),
        captions=lambda wildcards: [
            existing(experiment.path(captions), "prompts: captions")
            for captions in [experiment.config.prompts.captions]
            if experiment.config.reference.images == "dataset"
        ],
        selection=experiment.annotations.selection(experiment.config.reference.where) or [],
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


rule reference_features:
    input:
        images=REFERENCE_LIST,
        weights=lambda wildcards: weights_file(REFERENCES[wildcards.reference]),
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
        extractor=lambda wildcards: experiment.extractor_name(REFERENCES[wildcards.reference]),
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
        extractor=lambda wildcards: experiment.extractor_name(REFERENCES[wildcards.reference]),
    shell:
        "python scripts/reference_statistics.py" " --extractor {params.extractor:q}" " --log {log:q}"


rule reference_ladder:
    input:
        images=REFERENCE_LIST,
        features=paths.reference_features("{reference}"),
        statistics=paths.reference_statistics("{reference}"),
        weights=lambda wildcards: weights_file(REFERENCES[wildcards.reference]),
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
        extractor=lambda wildcards: experiment.extractor_name(REFERENCES[wildcards.reference]),
    shell:
        "python scripts/reference_ladder.py"
        " --extractor {params.extractor:q}"
        " --batch-size {resources.batch_size}"
        " --log {log:q}"
