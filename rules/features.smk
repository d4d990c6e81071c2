"""Feature vectors of the generated images, once per shard and extractor.

Inputs: manifests (each next to its archive), extractor weights.
Outputs: results/<name>/features/<extractor>/<arm>/<rows>.npy, with a second name in .kept/ that no rule declares: a job that runs
again takes it, if images, weights, packages and code are the same.
"""


rule extract_features:
    input:
        manifest=rules.generate_shard.output.manifest,
        weights=weights_of_extractor,
    output:
        features=paths.features("{extractor}", "{arm}", "{rows}"),
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
