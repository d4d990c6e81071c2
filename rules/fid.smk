"""FID per arm, extractor and N; then all of them in one table, and the differences between models.

Inputs: features, reference statistics (for reference: same the reference's features, its list and the prompts).
Outputs: results/<name>/fid/<extractor>/<full or same>/<arm>/<n>.json, fid.csv, comparison.csv.
"""


rule compute_fid:
    input:
        unpack(fid_inputs),
    output:
        fid=f"{RESULTS}/fid/{{extractor}}/{{selection}}/{{arm}}/{{n}}.json",
    log:
        f"{LOGS}/compute_fid/{{extractor}}/{{selection}}/{{arm}}/{{n}}.log",
    wildcard_constraints:
        selection="full|same",
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    shell:
        "python scripts/compute_fid.py"
        " --extractor {wildcards.extractor:q}"
        " --selection {wildcards.selection}"
        " --arm {wildcards.arm:q}"
        " --n {wildcards.n}"
        " --log {log:q}"


FIDS = [local(path) for path in experiment.fid_files()]


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
        models=experiment.model_names,  # Their order: Snakemake compares inputs as sets.
    shell:
        "python scripts/collect.py --output {output.table:q} --log {log:q}"


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
        models=experiment.model_names,
        note=experiment.config.note,
    shell:
        "python scripts/compare.py --output {output.table:q} --log {log:q}"


rule tokenizer_quality:
    input:
        archives=archives_of_arm,
        prompts=rules.extract_prompts.output.prompts,
    output:
        table=f"{RESULTS}/tokenizer/{{arm}}.csv",
    log:
        f"{LOGS}/tokenizer_quality/{{arm}}.log",
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    shell:
        "python scripts/tokenizer_quality.py --arm {wildcards.arm} --prompts {input.prompts:q}"
        " --archives {input.archives:q} --output {output.table:q} --log {log:q}"


TOKENIZER_TABLES = [
    f"{RESULTS}/tokenizer/{arm.name}.csv" for arm in experiment.arms() if arm.model in experiment.floors
]
