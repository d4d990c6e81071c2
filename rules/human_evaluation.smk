"""Human evaluation: pages for the raters, and the analysis of their votes. Neither rule belongs to `all`.

snakemake human_evaluation_pages -c 1       makes the folder to send
IMAGES=https://... snakemake export_ratings -c 1     tasks for Label Studio and Mechanical Turk, whose images lie at that address
snakemake import_votes -c 1                 after the raters' files were put into results/<name>/human_evaluation/votes
VOTES=folder snakemake import_votes -c 1    or from another folder

Inputs: prompts, the shards of the first prompts of every arm that is compared.
Outputs: results/<name>/human_evaluation/{pages,key.json}; votes.csv, raters.csv and human_evaluation.csv there, which the report
shows from then on. import_votes declares neither files it reads nor those it writes: it runs whenever it is asked for, and
nothing else ever makes it run.
"""

# Whether votes were imported is looked up when the Snakefile is parsed, on a compute node as on the login node.
HUMAN_TABLES = imported_tables(paths)
RATED = rated_set(experiment)


localrules:
    human_evaluation_pages,
    import_votes,
    export_ratings,


rule human_evaluation_pages:
    input:
        prompts=RATED.paths.prompts,
        manifests=lambda wildcards: [
            paths.manifest(arm, rows)
            for design in [design_study(experiment)]
            for arm in design.arms
            for rows in [shard.name for shard in RATED.shards(design.prompts)]
        ],
    output:
        pages=directory(paths.rating_pages),
        key=paths.rating_key,
    log:
        paths.log("human_evaluation_pages"),
    benchmark:
        paths.benchmark("human_evaluation_pages")
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=experiment.config.human_evaluation.model_dump_json(
            exclude={"exclude_failed", "min_votes", "recruitment"}
        ),
        seed=experiment.config.seed,
        photographs=RATED.config.prompts.images,
        baseline=experiment.baseline,
        # What the settings leave to the rest of the config: how many prompts, and which arms in which order.
        study=lambda wildcards: [design_study(experiment).prompts, *design_study(experiment).arms],
    shell:
        "python scripts/write_rating_pages.py --log {log:q}"


rule export_ratings:
    log:
        paths.log("export_ratings"),
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/export_ratings.py"
        ' --images "${{IMAGES:?set IMAGES to the address of the folder pages/images}}"'
        " --log {log:q}"


rule import_votes:
    log:
        paths.log("import_votes"),
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/import_votes.py" ' ${{VOTES:+--votes "$VOTES"}}' " --log {log:q}"
