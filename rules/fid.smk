"""FIDs per arm, extractor and reference, at every N; then all of them in one table, and the differences between models.

Inputs: features, the prompts, and the reference's features with their list (or ready statistics).
Outputs: results/<name>/fid/<extractor>/<full or same>/<arm>/<n>.json, fid.csv, comparison.csv.
"""

FIDS = experiment.fid_files()
SIZES = sorted(experiment.config.sample_sizes)
TOKENIZER_TABLES = [paths.tokenizer_quality(arm) for arm in experiment.floor_arms()]


localrules:  # seconds; a job would take longer to be noticed
    collect,
    compare,


rule compute_fid:
    input:
        features=lambda wildcards: experiment.extracted_files(wildcards.extractor, wildcards.arm, experiment.shards()),
        # Ready statistics; else the images' features, and with them their statistics, which are there for other programs.
        reference=lambda wildcards: [
            paths.reference_statistics(key_of(wildcards)),
            *(
                [paths.reference_features(key_of(wildcards)), experiment.reference_list]
                if key_of(wildcards) not in READY
                else []
            ),
        ],
        prompts=rules.extract_prompts.output.prompts,
    output:
        fids=[paths.fid("{extractor}", "{selection}", "{arm}", str(n)) for n in SIZES],
    log:
        paths.log("compute_fid", "{extractor}", "{selection}", "{arm}"),
    benchmark:
        paths.benchmark("compute_fid", "{extractor}", "{selection}", "{arm}")
    wildcard_constraints:
        selection="full|same",
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    shell:
        "python scripts/compute_fid.py"
        " --extractor {wildcards.extractor:q}"
        " --selection {wildcards.selection:q}"
        " --arm {wildcards.arm:q}"
        " --log {log:q}"


rule collect:
    input:
        FIDS,
    output:
        table=paths.fid_table,
    log:
        paths.log("collect"),
    benchmark:
        paths.benchmark("collect")
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        note=experiment.config.note,
        models=experiment.model_names,  # Their order: Snakemake compares inputs as sets.
    shell:
        "python scripts/collect.py --log {log:q}"


rule compare:
    input:
        FIDS,
        manifests=experiment.manifests(),
    output:
        table=paths.comparison_table,
    log:
        paths.log("compare"),
    benchmark:
        paths.benchmark("compare")
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        baseline=experiment.baseline,
        models=experiment.model_names,
        margins=experiment.margins,
        note=experiment.config.note,
    shell:
        "python scripts/compare.py --log {log:q}"


rule tokenizer_quality:
    input:
        manifests=lambda wildcards: [paths.manifest(wildcards.arm, rows) for rows in rows_of()],
        prompts=rules.extract_prompts.output.prompts,
    output:
        table=paths.tokenizer_quality("{arm}"),
    log:
        paths.log("tokenizer_quality", "{arm}"),
    benchmark:
        paths.benchmark("tokenizer_quality", "{arm}")
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    shell:
        "python scripts/tokenizer_quality.py" " --arm {wildcards.arm:q}" " --log {log:q}"
