"""FID per arm, extractor and N; then all of them in one table, and the differences between models.

Inputs: features, reference statistics (for reference: same the reference's features, its list and the prompts).
Outputs: results/<name>/fid/<extractor>/<arm>/<n>.json, fid.csv, comparison.csv.
"""


def fid_inputs(wildcards):
    extractor = experiment.extractor(wildcards.extractor)
    base = local(experiment.reference_base(extractor))
    inputs = {
        "features": expand(
            rules.extract_features.output.features,
            extractor=wildcards.extractor,
            arm=wildcards.arm,
            rows=[shard.name for shard in experiment.shards(int(wildcards.n))],
        )
    }
    if experiment.same_images(extractor):
        return inputs | {
            "reference": f"{base}.npy",
            "images": local(experiment.reference_list),
            "prompts": rules.extract_prompts.output.prompts,
        }
    return inputs | {"reference": f"{base}.npz"}


rule compute_fid:
    input:
        unpack(fid_inputs),
    output:
        fid=f"{RESULTS}/fid/{{extractor}}/{{arm}}/{{n}}.json",
    log:
        f"{LOGS}/compute_fid/{{extractor}}/{{arm}}/{{n}}.log",
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        same=lambda wildcards, input: (
            f"--images '{input.images}' --prompts '{input.prompts}'" if "images" in input.keys() else ""
        ),
    shell:
        "python {SCRIPTS}/compute_fid.py --config {CONFIG:q} --extractor {wildcards.extractor} --arm {wildcards.arm}"
        " --n {wildcards.n} --features {input.features:q} --reference {input.reference:q} {params.same}"
        " --output {output.fid:q} --log {log:q}"


FIDS = expand(
    rules.compute_fid.output.fid,
    extractor=experiment.extractor_names,
    arm=[arm.name for arm in experiment.arms()],
    n=experiment.config.sample_sizes,
)


rule collect:
    input:
        FIDS,
    output:
        table=f"{RESULTS}/fid.csv",
    log:
        f"{LOGS}/collect.log",
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        note=experiment.config.note,
    shell:
        "python {SCRIPTS}/collect.py --config {CONFIG:q} --output {output.table:q} --log {log:q}"


rule compare:
    input:
        FIDS,
    output:
        table=f"{RESULTS}/comparison.csv",
    log:
        f"{LOGS}/compare.log",
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        baseline=experiment.baseline,
        note=experiment.config.note,
    shell:
        "python {SCRIPTS}/compare.py --config {CONFIG:q} --output {output.table:q} --log {log:q}"
