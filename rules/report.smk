"""Figures, the gallery's thumbnails and the page.

Inputs: fid.csv, comparison.csv, the tables of metrics (where there are metrics beyond FID), the tables of imported votes (where
there are any), prompts, archives and features (for the gallery), all manifests.
Outputs: results/<name>/figures/, results/<name>/gallery/<rows>/ with <rows>.json, results/<name>/report.html.
"""

FIRST_ARCHIVES = expand(
    rules.generate_shard.output.archive,
    arm=[arm.name for arm in experiment.arms()],
    rows=experiment.shards()[0].name,
)


rule plot:
    input:
        fid=rules.collect.output.table,
        comparison=rules.compare.output.table,
        prompts=rules.extract_prompts.output.prompts,
        archives=FIRST_ARCHIVES,
    output:
        report(
            f"{RESULTS}/figures/fid.svg",
            caption="captions/fid.rst",
            category="Figures",
            labels={"figure": "FID against N"},
        ),
        report(
            f"{RESULTS}/figures/difference.svg",
            caption="captions/difference.rst",
            category="Figures",
            labels={"figure": "differences"},
        ),
        report(
            f"{RESULTS}/figures/grid.png",
            caption="captions/grid.rst",
            category="Figures",
            labels={"figure": "the same prompts"},
        ),
        multiext(f"{RESULTS}/figures/fid", ".pdf", ".png", "-data.csv"),
        multiext(f"{RESULTS}/figures/difference", ".pdf", ".png", "-data.csv"),
        multiext(f"{RESULTS}/figures/grid", ".svg", ".pdf", "-data.csv"),
    log:
        f"{LOGS}/plot.log",
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        note=experiment.config.note,
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        "python scripts/plot.py --fid {input.fid:q} --comparison {input.comparison:q} --prompts {input.prompts:q}"
        " --folder {params.folder:q} --log {log:q}"


rule gallery:
    input:
        unpack(gallery_inputs),
    output:
        index=f"{RESULTS}/gallery/{{rows}}.json",
        strips=directory(f"{RESULTS}/gallery/{{rows}}"),
    log:
        f"{LOGS}/gallery/{{rows}}.log",
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        arms=[arm.name for arm in experiment.arms()],  # Their order: Snakemake compares inputs as sets.
    shell:
        "python scripts/gallery.py --rows {wildcards.rows} --prompts {input.prompts:q} --folder {output.strips:q}"
        " --index {output.index:q} --log {log:q}"


GALLERY_ROWS = [block.name for block in row_blocks.blocks(experiment)]
CLIP_SCORES = [
    path.removesuffix("json") + "csv" for path in METRIC_FILES if path.startswith(f"{RESULTS}/metrics/clip_score/")
]


rule report:
    input:
        fid=rules.collect.output.table,
        comparison=rules.compare.output.table,
        # A function, since Snakemake 9.27 hashes a long list of inputs once for each of its items.
        manifests=lambda wildcards: [*map(local, experiment.manifests())],
        figures=rules.plot.output,
        gallery=expand(rules.gallery.output.index, rows=GALLERY_ROWS),
        strips=expand(rules.gallery.output.strips, rows=GALLERY_ROWS),
        metrics=METRIC_TABLES,
        clip_scores=CLIP_SCORES[: len(experiment.arms())],
        tokenizers=TOKENIZER_TABLES,
        human=HUMAN_TABLES,
    output:
        page=report(
            f"{RESULTS}/report.html",
            caption="captions/report.rst",
            category="Report",
            labels={"figure": "the whole page"},
        ),
    log:
        f"{LOGS}/report.log",
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        note=experiment.config.note,
        folder=lambda wildcards, input: os.path.dirname(input.figures[0]),
        metrics="--metrics {} --metric-differences {}".format(*METRIC_TABLES) if METRIC_TABLES else "",
        tokenizers=f"--tokenizers {' '.join(TOKENIZER_TABLES)}" if TOKENIZER_TABLES else "",
        human="--human-evaluation {} --raters {}".format(*HUMAN_TABLES) if HUMAN_TABLES else "",
        clip_scores=lambda wildcards, input: (
            f"--clip-scores {' '.join(input.clip_scores)}" if input.clip_scores else ""
        ),
    shell:
        "python scripts/report.py --fid {input.fid:q} --comparison {input.comparison:q} --figures {params.folder:q}"
        " --gallery {input.gallery:q} {params.metrics} {params.clip_scores} {params.tokenizers} {params.human}"
        " --output {output.page:q} --log {log:q}"
