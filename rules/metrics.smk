"""Metrics beyond FID, each switched on in the config (metrics:), per arm and extractor, for the largest N alone.

Inputs: features of the generated and of the real images, which FID has made already; for clip_score the captions.
Outputs: results/<name>/metrics/<metric>/<extractor>/<arm>/<n>.json, metrics.csv, metric_differences.csv; for metrics with one
number per image also a CSV of these in the same folder; results/<name>/captions/<extractor>/<rows>.npy.
"""

import re

METRIC_FILES = [local(path) for path in experiment.metric_files()]
METRIC_TABLES = [f"{RESULTS}/metrics.csv", f"{RESULTS}/metric_differences.csv"] if METRIC_FILES else []
REGISTERED = {metric: experiment.metric(metric) for metric, _ in experiment.metric_jobs()}
# Metrics with one number per image have a table of these as well: a rule of their own, with another output.
PER_IMAGE = "|".join(re.escape(name) for name, metric in REGISTERED.items() if metric.per_image) or "(?!)"
WHOLE = "|".join(re.escape(name) for name, metric in REGISTERED.items() if not metric.per_image) or "(?!)"


def metric_inputs(wildcards):
    """The features of the arm's images, and what the metric compares them with."""
    extractor = experiment.extractor(wildcards.extractor)
    inputs = {"features": [*map(local, experiment.feature_files(wildcards.extractor, wildcards.arm, wildcards.n))]}
    needs = experiment.metric(wildcards.metric)
    if needs.inputs == "captions":
        inputs["captions"] = [*map(local, experiment.caption_files(wildcards.extractor, wildcards.n))]
    if needs.inputs == "reference":
        inputs["reference"] = f"{local(experiment.reference_base(extractor))}.npy"
        if experiment.selections(extractor)[0] == "same":
            inputs["images"] = local(experiment.reference_list)
    if needs.per_image or "images" in inputs:
        inputs["prompts"] = rules.extract_prompts.output.prompts
    return inputs


rule compute_metric:
    input:
        unpack(metric_inputs),
    output:
        metric=f"{RESULTS}/metrics/{{metric}}/{{extractor}}/{{arm}}/{{n}}.json",
    log:
        f"{LOGS}/compute_metric/{{metric}}/{{extractor}}/{{arm}}/{{n}}.log",
    wildcard_constraints:
        metric=WHOLE,
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    shell:
        "python scripts/compute_metric.py"
        " --metric {wildcards.metric:q}"
        " --extractor {wildcards.extractor:q}"
        " --arm {wildcards.arm:q}"
        " --n {wildcards.n}"
        " --log {log:q}"


use rule compute_metric as compute_metric_per_image with:
    output:
        metric=f"{RESULTS}/metrics/{{metric}}/{{extractor}}/{{arm}}/{{n}}.json",
        per_image=f"{RESULTS}/metrics/{{metric}}/{{extractor}}/{{arm}}/{{n}}.csv",
    wildcard_constraints:
        metric=PER_IMAGE,


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
