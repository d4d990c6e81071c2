"""Metrics beyond FID, each switched on in the config (metrics:), per arm and extractor, for the largest N alone.

Inputs: features of the generated and of the real images, which FID has made already; for clip_score the captions.
Outputs: results/<name>/metrics/<metric>/<extractor>/<arm>/<n>.json, metrics.csv, metric_differences.csv; for clip_score also
the CSV of all images beside its JSON, and results/<name>/captions/<extractor>/<rows>.npy.
"""

METRIC_FILES = experiment.metric_files()
METRIC_TABLES = [paths.metric_table, paths.metric_differences] if METRIC_FILES else []


rule compute_metric:
    input:
        features=lambda wildcards: experiment.feature_files(wildcards.extractor, wildcards.arm, wildcards.n),
        reference=lambda wildcards: paths.reference_features(key_of(wildcards)),
        same=lambda wildcards: (
            [experiment.reference_list, rules.extract_prompts.output.prompts]
            if "same" == experiment.selections(experiment.extractor(wildcards.extractor))[0]
            else []
        ),
    output:
        metric=paths.metric("{metric}", "{extractor}", "{arm}", "{n}"),
    log:
        paths.log("compute_metric", "{metric}", "{extractor}", "{arm}", "{n}"),
    benchmark:
        paths.benchmark("compute_metric", "{metric}", "{extractor}", "{arm}", "{n}")
    wildcard_constraints:
        metric="kid|precision_recall|density_coverage|cmmd",
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        same=lambda wildcards, input: "--images '{}' --prompts '{}'".format(*input.same) if input.same else "",
    shell:
        "python scripts/compute_metrics.py --metric {wildcards.metric} --extractor {wildcards.extractor} --arm {wildcards.arm}"
        " --n {wildcards.n} --features {input.features:q} --reference {input.reference:q} {params.same}"
        " --output {output.metric:q} --log {log:q}"


rule embed_captions:
    input:
        prompts=rules.extract_prompts.output.prompts,
        weights=weights_of_extractor,
    output:
        captions=paths.captions("{extractor}", "{rows}"),
    log:
        paths.log("embed_captions", "{extractor}", "{rows}"),
    benchmark:
        paths.benchmark("embed_captions", "{extractor}", "{rows}")
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=16000 if GPUS else 4000,
        runtime=60,
        batch_size=experiment.config.resources.feature_batch_size,
    shell:
        "python scripts/embed_captions.py"
        " --extractor {wildcards.extractor:q}"
        " --rows {wildcards.rows:q}"
        " --batch-size {resources.batch_size}"
        " --log {log:q}"


rule compute_clip_score:
    input:
        features=lambda wildcards: experiment.feature_files(wildcards.extractor, wildcards.arm, wildcards.n),
        captions=lambda wildcards: experiment.caption_files(wildcards.extractor, wildcards.n),
        prompts=rules.extract_prompts.output.prompts,
    output:
        metric=paths.metric("clip_score", "{extractor}", "{arm}", "{n}"),
        per_image=paths.per_image("clip_score", "{extractor}", "{arm}", "{n}"),
    log:
        paths.log("compute_clip_score", "{extractor}", "{arm}", "{n}"),
    benchmark:
        paths.benchmark("compute_clip_score", "{extractor}", "{arm}", "{n}")
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=30,
    shell:
        "python scripts/compute_clip_score.py --extractor {wildcards.extractor} --arm {wildcards.arm} --n {wildcards.n}"
        " --features {input.features:q} --captions {input.captions:q} --prompts {input.prompts:q}"
        " --output {output.metric:q} --per-image {output.per_image:q} --log {log:q}"


rule collect_metrics:
    input:
        METRIC_FILES,
    output:
        metrics=paths.metric_table,
        differences=paths.metric_differences,
    log:
        paths.log("collect_metrics"),
    benchmark:
        paths.benchmark("collect_metrics")
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        note=experiment.config.note,
        baseline=experiment.baseline,
        models=experiment.model_names,
    shell:
        "python scripts/collect_metrics.py --log {log:q}"
