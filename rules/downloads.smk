"""What is fetched from the network, once, on the login node: pinned, checked, resumable.

Inputs: none.
Outputs: resources/weights/ (Inception), resources/models/ (hub checkpoints), resources/coco/ (COCO 2014 validation set).
"""

# COCO publishes no sha256; these are the sha1 sums that MLPerf's download script checks.
COCO = {
    f"{RESOURCES}/coco/captions_val2014.json": {
        "url": "http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
        "sum": "sha1:8e0b9df54c175f1688400e98d1a97f292e726870",
        "member": "annotations/captions_val2014.json",
    },
    f"{RESOURCES}/coco/val2014.zip": {
        "url": "http://images.cocodataset.org/zips/val2014.zip",
        "sum": "sha1:fbedd73593f242db65cce6bcefde193fcedcc5c0",
        "member": "",
    },
}
INCEPTION_URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
)
INCEPTION = {
    local(extractor.weights_file(experiment)): extractor.sha256
    for extractor in experiment.config.extractors
    if extractor.name == "inception" and extractor.weights is None
}
MODELS_IN = [
    (local(experiment.checkpoint_folders(model)[role]), checkpoint, model)
    for model in experiment.config.models
    for role, checkpoint in model.checkpoints(experiment).items()
    if checkpoint.hub is not None
]
HUB = {folder: checkpoint for folder, checkpoint, _ in MODELS_IN} | {
    local(experiment.checkpoint_folder(extractor.checkpoint)): extractor.checkpoint
    for extractor in experiment.config.extractors
    if getattr(extractor, "checkpoint", None) is not None and extractor.checkpoint.hub is not None
}
# Pipelines come in variants of their weights, and with code.
PIPELINES = {
    key: [model for folder, _, model in MODELS_IN if folder == key and model.kind == "diffusers"] for key in HUB
}
DOWNLOADS = {*COCO, *INCEPTION, *(f"{folder}.json" for folder in HUB)}


localrules:
    download_coco,
    download_inception_weights,
    download_model,


rule download_coco:
    output:
        f"{RESOURCES}/coco/{{file}}",
    log:
        f"{RESOURCES}/logs/download_coco/{{file}}.log",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    params:
        url=lambda wildcards, output: COCO[output[0]]["url"],
        sum=lambda wildcards, output: COCO[output[0]]["sum"],
        member=lambda wildcards, output: COCO[output[0]]["member"],
    shell:
        "python scripts/download_file.py --url {params.url} --sum {params.sum} --member {params.member:q}"
        " --output {output:q} --log {log:q}"


rule download_inception_weights:
    output:
        f"{RESOURCES}/weights/inception-{{sha}}.pth",
    log:
        f"{RESOURCES}/logs/download_inception_weights/{{sha}}.log",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    params:
        url=INCEPTION_URL,
        sum=lambda wildcards, output: f"sha256:{INCEPTION[output[0]]}",
    shell:
        "python scripts/download_file.py --url {params.url} --sum {params.sum} --output {output:q} --log {log:q}"


rule download_model:
    output:
        f"{RESOURCES}/models/{{key}}.json",
    log:
        f"{RESOURCES}/logs/download_model/{{key}}.log",
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    params:
        hub=lambda wildcards: HUB[f"{RESOURCES}/models/{wildcards.key}"].hub,
        revision=lambda wildcards: HUB[f"{RESOURCES}/models/{wildcards.key}"].revision,
        folder=lambda wildcards, output: output[0].removesuffix(".json"),
        parts=lambda wildcards: pipeline_parts(PIPELINES[f"{RESOURCES}/models/{wildcards.key}"]),
    shell:
        "python scripts/download_model.py --hub {params.hub} --revision {params.revision}"
        " --folder {params.folder:q} {params.parts} --output {output:q} --log {log:q}"
