"""What is fetched from the network, once, on the login node: pinned, checked, resumable.

Inputs: none.
Outputs: resources/weights/ (Inception), resources/models/ (hub checkpoints), resources/coco/ (COCO 2014 validation set, Karpathy's
splits), resources/flickr30k/ (Karpathy's captions; the photographs are sent on request, docs/prompt-sets.md).
"""

from emudrift.config.paths import download_record

# COCO publishes no sha256; the sha1 sums are those that MLPerf's download script checks. Karpathy publishes no sum; his is the
# one that TensorFlow Datasets checks (url_checksums/coco_captions.txt).
KARPATHY = {
    "url": "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",
    "sum": "sha256:4cfd70132527b80933105e5829dc9034eaab9573482e2e680abbab6130244817",
}
COCO = {
    "captions_val2014.json": {
        "url": "http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
        "sum": "sha1:8e0b9df54c175f1688400e98d1a97f292e726870",
        "member": "annotations/captions_val2014.json",
    },
    "val2014.zip": {
        "url": "http://images.cocodataset.org/zips/val2014.zip",
        "sum": "sha1:fbedd73593f242db65cce6bcefde193fcedcc5c0",
        "member": "",
    },
    "dataset_coco.json": KARPATHY | {"member": "dataset_coco.json"},
}
FLICKR30K = paths.flickr30k("dataset_flickr30k.json")
INCEPTION_URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
)
INCEPTION = {
    str(extractor.weights_file(experiment)): extractor.sha256
    for extractor in experiment.config.extractors
    if extractor.name == "inception" and extractor.weights is None
}
MODELS_IN = [
    (experiment.checkpoint_folders(model)[role], checkpoint, model)
    for model in experiment.config.models
    for role, checkpoint in model.checkpoints_by_role(experiment).items()
    if checkpoint.hub is not None
]
HUB = {folder: checkpoint for folder, checkpoint, _ in MODELS_IN} | {
    experiment.checkpoint_folder(extractor.checkpoint): extractor.checkpoint
    for extractor in experiment.config.extractors
    if getattr(extractor, "checkpoint", None) is not None and extractor.checkpoint.hub is not None
}
JUDGE = experiment.config.judge.model if experiment.config.judge is not None else None
JUDGE_DOWNLOAD = None
if JUDGE is not None and JUDGE.hub is not None:
    HUB[experiment.checkpoint_folder(JUDGE)] = JUDGE
    JUDGE_DOWNLOAD = download_record(experiment.checkpoint_folder(JUDGE))
DOWNLOADED_PARTS = {
    model.name: [download_record(folder) for folder, _, each in MODELS_IN if each.name == model.name]
    for model in experiment.config.models
}
# Download options of a model (the same for all models of a folder); none for an extractor's checkpoint.
VARIANTS = {folder: model.weights_variant() for folder, _, model in MODELS_IN}
WITH_CODE = {folder for folder, _, model in MODELS_IN if model.needs_code()}
FILES = {folder: checkpoint.file for folder, checkpoint in HUB.items()}
DOWNLOADS = {
    *(str(paths.coco(file)) for file in COCO),
    str(FLICKR30K),
    *INCEPTION,
    *(str(download_record(folder)) for folder in HUB),
}


localrules:
    download_coco,
    download_flickr30k,
    download_inception_weights,
    download_model,


rule download_coco:
    output:
        paths.coco("{file}"),
    log:
        paths.shared_log("download_coco", "{file}"),
    benchmark:
        paths.shared_benchmark("download_coco", "{file}")
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    params:
        url=lambda wildcards: COCO[wildcards.file]["url"],
        sum=lambda wildcards: COCO[wildcards.file]["sum"],
        member=lambda wildcards: COCO[wildcards.file]["member"],
    shell:
        "python scripts/download_file.py"
        " --url {params.url:q}"
        " --sum {params.sum:q}"
        " --member {params.member:q}"
        " --output {output:q}"
        " --log {log:q}"


use rule download_coco as download_flickr30k with:
    output:
        FLICKR30K,
    log:
        paths.shared_log("download_flickr30k"),
    benchmark:
        paths.shared_benchmark("download_flickr30k")
    params:
        url=KARPATHY["url"],
        sum=KARPATHY["sum"],
        member=FLICKR30K.name,


rule download_inception_weights:
    output:
        paths.inception_weights("{sha}"),
    log:
        paths.shared_log("download_inception_weights", "{sha}"),
    benchmark:
        paths.shared_benchmark("download_inception_weights", "{sha}")
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    params:
        url=INCEPTION_URL,
        sum=lambda wildcards, output: f"sha256:{INCEPTION[output[0]]}",
    shell:
        "python scripts/download_file.py"
        " --url {params.url:q}"
        " --sum {params.sum:q}"
        " --output {output:q}"
        " --log {log:q}"


rule download_model:
    output:
        download_record(paths.model("{key}")),
    log:
        paths.shared_log("download_model", "{key}"),
    benchmark:
        paths.shared_benchmark("download_model", "{key}")
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    params:
        hub=lambda wildcards: HUB[paths.model(wildcards.key)].hub,
        revision=lambda wildcards: HUB[paths.model(wildcards.key)].revision,
        folder=lambda wildcards: str(paths.model(wildcards.key)),
        variant=lambda wildcards: VARIANTS.get(paths.model(wildcards.key)) or "none",
        code=lambda wildcards: "yes" if paths.model(wildcards.key) in WITH_CODE else "no",
        file=lambda wildcards: FILES[paths.model(wildcards.key)] or "all",
    shell:
        "python scripts/download_model.py"
        " --hub {params.hub:q}"
        " --revision {params.revision:q}"
        " --folder {params.folder:q}"
        " --variant {params.variant:q}"
        " --code {params.code:q}"
        " --file {params.file:q}"
        " --output {output:q}"
        " --log {log:q}"
