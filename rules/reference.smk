"""The real images: their list, features and statistics, cached in resources/ and shared by experiments.

Inputs: the dataset's captions or a folder or archive of images; or ready statistics.
Outputs: resources/reference/<key>.images.csv, <key>.npy, <key>.npz. No input here belongs to one experiment alone, else
another experiment would make them anew.
"""


localrules:
    list_reference_images,


REFERENCES = {local(experiment.reference_base(extractor)): extractor for extractor in experiment.config.extractors}
READY = {base: e.reference_statistics for base, e in REFERENCES.items() if e.reference_statistics is not None}


rule list_reference_images:
    input:
        unpack(list_inputs),
    output:
        images=local(experiment.reference_list) if experiment.needs_reference_images else [],
    log:
        f"{LOGS}/list_reference_images.log",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=8000,
        runtime=30,
    shell:
        "python scripts/list_reference_images.py --output {output.images:q} --log {log:q}"


rule reference_features:
    input:
        images=local(experiment.reference_list) if experiment.needs_reference_images else [],
        weights=weights_of_reference,
    output:
        features=f"{RESOURCES}/reference/{{reference}}.npy",
    log:
        f"{RESOURCES}/logs/reference_features/{{reference}}.log",
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
        extractor=lambda wildcards: experiment.extractor_name(
            REFERENCES[f"{RESOURCES}/reference/{wildcards.reference}"]
        ),
    shell:
        "python scripts/reference_features.py --extractor {params.extractor} --images {input.images:q}"
        " --output {output.features:q} --batch-size {resources.batch_size} --log {log:q}"


rule reference_statistics:
    input:
        statistics_inputs,
    output:
        statistics=f"{RESOURCES}/reference/{{reference}}.npz",
    log:
        f"{RESOURCES}/logs/reference_statistics/{{reference}}.log",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        extractor=lambda wildcards: experiment.extractor_name(
            REFERENCES[f"{RESOURCES}/reference/{wildcards.reference}"]
        ),
    shell:
        "python scripts/reference_statistics.py --extractor {params.extractor} --input {input:q}"
        " --output {output.statistics:q} --log {log:q}"
