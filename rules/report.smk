"""Figures and the page.

Inputs: fid.csv, comparison.csv, the tables of metrics (where there are metrics beyond FID), the tables of imported votes (where there are any), prompts, the first shard of every arm (for the grid), all manifests.
Outputs: results/<name>/figures/, results/<name>/report.html.
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
        multiext(f"{RESULTS}/figures/fid", ".svg", ".png"),
        multiext(f"{RESULTS}/figures/difference", ".svg", ".png"),
        f"{RESULTS}/figures/grid.png",
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


rule report:
    input:
        fid=rules.collect.output.table,
        comparison=rules.compare.output.table,
        prompts=rules.extract_prompts.output.prompts,
        archives=FIRST_ARCHIVES,
        # A function, since Snakemake 9.27 hashes a long list of inputs once for each of its items.
        manifests=lambda wildcards: [*map(local, experiment.manifests())],
        figures=rules.plot.output,
        metrics=METRIC_TABLES,
        tokenizers=TOKENIZER_TABLES,
        human=HUMAN_TABLES,
    output:
        page=f"{RESULTS}/report.html",
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
    shell:
        "python scripts/report.py --fid {input.fid:q} --comparison {input.comparison:q} --prompts {input.prompts:q}"
        " --figures {params.folder:q} {params.metrics} {params.tokenizers} {params.human} --output {output.page:q} --log {log:q}"
