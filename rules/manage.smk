"""What a user asks between runs. None of these has inputs or outputs: they look at the disk, and run at once.

snakemake plan -c 1                                     shards, images, GPU-hours and disk space per arm; runs nothing
snakemake status -c 1                                   beside a run: rate, time left, the last error of each shard that stopped
ARM=base-cfg3 ROWS=000000-000500 snakemake remove_images -c 1     start over: without ROWS the whole arm
"""


localrules:
    plan,
    status,
    remove_images,


rule plan:
    log:
        f"{LOGS}/plan.log",
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/plan.py --log {log:q}"


rule status:
    log:
        f"{LOGS}/status.log",
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/status.py --log {log:q}"


rule remove_images:
    log:
        f"{LOGS}/remove_images.log",
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    shell:
        "python scripts/remove_images.py --log {log:q}"
        ' --arm "${{ARM:?say which arm: ARM=base-cfg3 snakemake remove_images}}" ${{ROWS:+--rows "$ROWS"}}'
