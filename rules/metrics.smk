"""Metrics beyond FID, each switched on in the config (metrics:), per arm and extractor, for the largest N alone.

Inputs: features of the generated and of the real images, which FID has made already; for clip_score the captions.
Outputs: results/<name>/metrics/<metric>/<extractor>/<arm>/<n>.json, metrics.csv, metric_differences.csv; for clip_score also
the CSV of all images beside its JSON, and results/<name>/captions/<extractor>/<rows>.npy.
"""

METRIC_FILES = [local(path) for path in experiment.metric_files()]
METRIC_TABLES = [f"{RESULTS}/metrics.csv", f"{RESULTS}/metric_differences.csv"] if METRIC_FILES else []


rule compute_metric:
    input:
        features=lambda wildcards: [
            *map(local, experiment.feature_files(wildcards.extractor, wildcards.arm, wildcards.n))
        ],
        reference=lambda wildcards: f"{local(experiment.reference_base(experiment.extractor(wildcards.extractor)))}.npy",
        same=lambda wildcards: (
            [local(experiment.reference_list), rules.extract_prompts.output.prompts]
            if "same" == experiment.selections(experiment.extractor(wildcards.extractor))[0]
            else []
        ),
    output:
        metric=f"{RESULTS}/metrics/{{metric}}/{{extractor}}/{{arm}}/{{n}}.json",
    log:
        f"{LOGS}/compute_metric/{{metric}}/{{extractor}}/{{arm}}/{{n}}.log",
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
        captions=f"{RESULTS}/captions/{{extractor}}/{{rows}}.npy",
    log:
        f"{LOGS}/embed_captions/{{extractor}}/{{rows}}.log",
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=16000 if GPUS else 4000,
        runtime=60,
        batch_size=experiment.config.resources.feature_batch_size,
    shell:
        "python scripts/embed_captions.py --extractor {wildcards.extractor} --rows {wildcards.rows} --prompts {input.prompts:q}"
        " --output {output.captions:q} --batch-size {resources.batch_size} --log {log:q}"


rule compute_clip_score:
    input:
        features=lambda wildcards: [
            *map(local, experiment.feature_files(wildcards.extractor, wildcards.arm, wildcards.n))
        ],
        captions=lambda wildcards: [*map(local, experiment.caption_files(wildcards.extractor, wildcards.n))],
        prompts=rules.extract_prompts.output.prompts,
    output:
        metric=f"{RESULTS}/metrics/clip_score/{{extractor}}/{{arm}}/{{n}}.json",
        per_image=f"{RESULTS}/metrics/clip_score/{{extractor}}/{{arm}}/{{n}}.csv",
    log:
        f"{LOGS}/compute_clip_score/{{extractor}}/{{arm}}/{{n}}.log",
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
        metrics=f"{RESULTS}/metrics.csv",
        differences=f"{RESULTS}/metric_differences.csv",
    log:
        f"{LOGS}/collect_metrics.log",
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
        "python scripts/collect_metrics.py --metrics {output.metrics:q} --differences {output.differences:q} --log {log:q}"
