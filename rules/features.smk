"""Feature vectors of the generated images, once per shard and extractor.

Inputs: archives, extractor weights.
Outputs: results/<name>/features/<extractor>/<arm>/<rows>.npy.
"""


rule extract_features:
    input:
        archive=rules.generate_shard.output.archive,
        manifest=rules.generate_shard.output.manifest,
        weights=weights_of_extractor,
    output:
        features=f"{RESULTS}/features/{{extractor}}/{{arm}}/{{rows}}.npy",
    log:
        f"{LOGS}/extract_features/{{extractor}}/{{arm}}/{{rows}}.log",
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=16000 if GPUS else 4000,
        runtime=60,
        batch_size=experiment.config.resources.feature_batch_size,
    shell:
        "python scripts/extract_features.py --extractor {wildcards.extractor} --archive {input.archive:q} --manifest {input.manifest:q}"
        " --output {output.features:q} --batch-size {resources.batch_size} --log {log:q}"
