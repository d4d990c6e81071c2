"""Figures, the gallery's thumbnails and the page.

Inputs: fid.csv, comparison.csv, the tables of metrics (where there are metrics beyond FID), the tables of imported votes (where
there are any), prompts, features (for the gallery), all manifests (each next to its archive).
Outputs: results/<name>/figures/, results/<name>/gallery/<rows>/ with <rows>.json, results/<name>/report.html.
"""

ARMS = [arm.name for arm in experiment.arms()]
LADDERS = [*{path: None for view in experiment.sets.values() for path in view.ladders().values()}]
GALLERY_ROWS = [block.name for block in row_blocks.blocks(experiment)]


rule plot:
    input:
        fid=rules.collect.output.table,
        comparison=rules.compare.output.table,
        prompts=rules.extract_prompts.output.prompts,
        manifests=[paths.manifest(arm, rows_of()[0]) for arm in ARMS],
        ladders=LADDERS,
        exchange=EXCHANGE_TABLES,
        groups=GROUP_TABLES,
    output:
        report(
            str(paths.figure("fid", ".svg")),
            caption="captions/fid.rst",
            category="Figures",
            labels={"figure": "FID against N"},
        ),
        report(
            str(paths.figure("difference", ".svg")),
            caption="captions/difference.rst",
            category="Figures",
            labels={"figure": "differences"},
        ),
        report(
            str(paths.figure("grid", ".png")),
            caption="captions/grid.rst",
            category="Figures",
            labels={"figure": "the same prompts"},
        ),
        multiext(str(paths.figure("fid")), ".pdf", ".png", "-data.csv"),
        multiext(str(paths.figure("difference")), ".pdf", ".png", "-data.csv"),
        multiext(str(paths.figure("grid")), ".svg", ".pdf", "-data.csv"),
        multiext(str(paths.figure("ladder")), ".svg", ".pdf", ".png", "-data.csv") if LADDERS else [],
        multiext(str(paths.figure("exchange")), ".svg", ".pdf", ".png", "-data.csv") if EXCHANGE_TABLES else [],
        multiext(str(paths.figure("groups")), ".svg", ".pdf", ".png", "-data.csv") if GROUP_TABLES else [],
    log:
        paths.log("plot"),
    benchmark:
        paths.benchmark("plot")
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        note=experiment.config.note,
        axis=experiment.config.fid_axis,
    shell:
        "python scripts/plot.py --log {log:q}"


rule gallery:
    input:
        prompts=rules.extract_prompts.output.prompts,
        manifests=lambda wildcards: row_blocks.manifest_files(experiment, RowRange.parse(wildcards.rows)),
        features=lambda wildcards: row_blocks.extracted_files(experiment, RowRange.parse(wildcards.rows)),
    output:
        index=paths.gallery_index("{rows}"),
        strips=directory(paths.gallery_strips("{rows}")),
    log:
        paths.log("gallery", "{rows}"),
    benchmark:
        paths.benchmark("gallery", "{rows}")
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        arms=ARMS,  # Their order: Snakemake compares inputs as sets.
    shell:
        "python scripts/gallery.py" " --rows {wildcards.rows:q}" " --log {log:q}"


rule report:
    input:
        fid=rules.collect.output.table,
        comparison=rules.compare.output.table,
        checked=rules.check_experiment.output.checked,
        # A function, since Snakemake 9.27 hashes a long list of inputs once for each of its items.
        manifests=lambda wildcards: experiment.manifests(),
        figures=rules.plot.output,
        gallery=expand(rules.gallery.output.index, rows=GALLERY_ROWS),
        strips=expand(rules.gallery.output.strips, rows=GALLERY_ROWS),
        metrics=METRIC_TABLES,
        groups=GROUP_TABLES,
        understanding=UNDERSTANDING_TABLES,
        clip_scores=[*row_blocks.clip_score_files(experiment).values()],
        tokenizers=TOKENIZER_TABLES,
        human=HUMAN_TABLES,
        exchange=EXCHANGE_TABLES,
        ladders=LADDERS,
        selections=SELECTIONS,
    output:
        page=report(
            str(paths.page),
            caption="captions/report.rst",
            category="Report",
            labels={"figure": "the whole page"},
        ),
    log:
        paths.log("report"),
    benchmark:
        paths.benchmark("report")
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        note=experiment.config.note,
    shell:
        "python scripts/report.py --log {log:q}"
