"""Commands for the time between runs. None has inputs or outputs: they read the disk and run at once. Nor a benchmark,
which Snakemake takes for an output: with one they would run once and never again.

snakemake plan -c 1                                     shards, images, GPU-hours and disk space per arm; runs nothing
snakemake status -c 1                                   during a run: rate, time left, the last error of each shard that stopped
snakemake verify -c 4                                   reads all that is finished, and says what is damaged
snakemake leftovers -c 1                                what the config no longer names, with sizes; removes nothing
ARM=base-cfg3 ROWS=000000-000500 snakemake remove_images -c 1     start over: without ROWS the whole arm
"""


localrules:
    plan,
    status,
    leftovers,
    verify,
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


rule leftovers:
    log:
        paths.log("leftovers"),
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/leftovers.py --log {log:q}"


rule verify:
    log:
        paths.log("verify"),
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    shell:
        "python scripts/verify.py --threads {threads} --log {log:q}"


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
