"""Feature vectors of the generated images, of several shards in one job where these are small (Experiment.feature_job).

Inputs: manifests (each next to its archive), extractor weights.
Outputs: results/<name>/features/<extractor>/<arm>/extracted/<rows>.json, with the features themselves, <rows>.npy of each shard, two
folders above. No rule declares these: a job that runs again, or has a shard more, computes only what is not there yet, or was made of other
images, weights, packages or code.
"""


rule extract_features:
    input:
        manifests=lambda wildcards: [
            paths.manifest(wildcards.arm, shard.name)
            for shard in experiment.set_of(wildcards.arm).shards_in(RowRange.parse(wildcards.rows))
        ],
        weights=weights_of_extractor,
    output:
        extracted=paths.extracted("{extractor}", "{arm}", "{rows}"),
    log:
        paths.log("extract_features", "{extractor}", "{arm}", "{rows}"),
    benchmark:
        paths.benchmark("extract_features", "{extractor}", "{arm}", "{rows}")
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=16000 if GPUS else 4000,
        runtime=60,
        batch_size=experiment.config.resources.feature_batch_size,
    shell:
        "python scripts/extract_features.py"
        " --extractor {wildcards.extractor:q}"
        " --arm {wildcards.arm:q}"
        " --rows {wildcards.rows:q}"
        " --batch-size {resources.batch_size}"
        " --log {log:q}"
