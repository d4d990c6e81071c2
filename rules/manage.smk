"""Commands for the time between runs. None has inputs or outputs: they read the disk and run at once. Nor a benchmark,
which Snakemake takes for an output: with one they would run once and never again.

snakemake plan -c 1                                     shards, images, GPU-hours and disk space per arm; runs nothing
snakemake status -c 1                                   during a run: rate, time left, the last error of each shard that stopped
ARM=base-cfg3 ROWS=000000-000500 snakemake remove_images -c 1     start over: without ROWS the whole arm
"""


localrules:
    plan,
    status,
    remove_images,


rule plan:
    log:
        paths.log("plan"),
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/plan.py --log {log:q}"


rule status:
    log:
        paths.log("status"),
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/status.py --log {log:q}"


rule remove_images:
    log:
        paths.log("remove_images"),
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/remove_images.py"
        ' --arm "${{ARM:?say which arm: ARM=base-cfg3 snakemake remove_images}}"'
        ' ${{ROWS:+--rows "$ROWS"}}'
        " --log {log:q}"
