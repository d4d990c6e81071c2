"""The exchange rate between seeing and drawing, where models see, or between another gain and its cost (exchange: bought).

Inputs: the scores of the answers to one task, or of the images; and distances (or CLIPScores) at the largest N.
Outputs: results/<name>/exchange.csv.
"""

EXCHANGE_TABLES = [paths.exchange_table] if experiment.exchange.arms else []


localrules:
    exchange,


rule exchange:
    input:
        seeing=experiment.exchange.seeing_files(),
        drawing=experiment.exchange.drawing_files(),
    output:
        table=paths.exchange_table,
    log:
        paths.log("exchange"),
    benchmark:
        paths.benchmark("exchange")
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        settings=experiment.exchange.settings().model_dump_json(),
        baseline=experiment.baseline,
        models=experiment.model_names,  # Their order: Snakemake compares inputs as sets.
        note=experiment.config.note,
    shell:
        "python scripts/exchange.py --log {log:q}"
