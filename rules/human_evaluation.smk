"""People compare the images: pages for the raters, and what their votes say. Neither rule belongs to `all`.

snakemake human_evaluation_pages -c 1       makes the folder to send
snakemake import_votes -c 1                 after the raters' files were put into results/<name>/human_evaluation/votes
VOTES=folder snakemake import_votes -c 1    or from where they lie

Inputs: prompts, the shards of the first prompts of every arm that is compared.
Outputs: results/<name>/human_evaluation/{pages,key.json}; votes.csv, raters.csv and human_evaluation.csv there, which the report
shows from then on. import_votes declares neither files it reads nor those it writes: it runs whenever it is asked for, and
nothing else ever makes it run.
"""


localrules:
    human_evaluation_pages,
    import_votes,


RATED = f"{RESULTS}/human_evaluation"
IMPORTED = [f"{RATED}/human_evaluation.csv", f"{RATED}/raters.csv"]
# Whether votes were imported is looked up when the Snakefile is parsed, on a compute node as on the login node.
HUMAN_TABLES = IMPORTED if all(map(os.path.exists, IMPORTED)) else []


rule human_evaluation_pages:
    input:
        prompts=rules.extract_prompts.output.prompts,
        archives=rated_archives,
    output:
        pages=directory(f"{RATED}/pages"),
        key=f"{RATED}/key.json",
    log:
        f"{LOGS}/human_evaluation_pages.log",
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=experiment.config.human_evaluation.model_dump_json(exclude={"exclude_failed"}),
        seed=experiment.config.seed,
        baseline=experiment.baseline,
        study=rated_study,
    shell:
        "python scripts/write_rating_pages.py --prompts {input.prompts:q} --pages {output.pages:q} --key {output.key:q}"
        " --log {log:q}"


rule import_votes:
    log:
        f"{LOGS}/import_votes.log",
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    params:
        folder=RATED,
    shell:
        "python scripts/import_votes.py --key {params.folder:q}/key.json"
        ' --votes "${{VOTES:-{params.folder}/votes}}" --output {params.folder:q} --log {log:q}'
