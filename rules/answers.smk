"""Answers to questions about pictures, in shards: one GPU job each. Nothing without `understanding:` in the config.

Inputs: question tables with their examples, the validated models.
Outputs: results/<name>/answers/<arm>/<variant>/<rows>.json, the manifest, with the answers <rows>.jsonl next to it;
results/<name>/understanding/checked/<arm>.json.

As images (rules/generate.smk), answers are declared by no rule: Snakemake cannot delete them, and a job that finds them verifies
them and writes the manifest again.
"""

SEEING = experiment.understanding
CHECKED_QUESTIONS = [paths.checked_questions(arm.name) for arm in SEEING.asked_arms()]


localrules:
    check_questions,


rule check_questions:
    input:
        model=lambda wildcards: paths.model_record(SEEING.arm(wildcards.arm).model),
        tables=[file for task in SEEING.tasks for file in (SEEING.questions(task), SEEING.support(task))],
    output:
        checked=paths.checked_questions("{arm}"),
    log:
        paths.log("check_questions", "{arm}"),
    benchmark:
        paths.benchmark("check_questions", "{arm}")
    priority: CHECKS_FIRST
    retries: 0
    conda:
        "../envs/emudrift.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        variants=[(variant.name, variant.task.asked) for variant in SEEING.variants()],
    shell:
        "python scripts/check_questions.py --arm {wildcards.arm:q} --log {log:q}"


rule answer_shard:
    input:
        questions=lambda wildcards: SEEING.questions(SEEING.variant(wildcards.variant).task),
        support=lambda wildcards: SEEING.support(SEEING.variant(wildcards.variant).task),
        model=lambda wildcards: paths.model_record(SEEING.arm(wildcards.arm).model),
    output:
        manifest=paths.answers_manifest("{arm}", "{variant}", "{rows}"),
    log:
        paths.log("answer_shard", "{arm}", "{variant}", "{rows}"),
    benchmark:
        paths.benchmark("answer_shard", "{arm}", "{variant}", "{rows}")
    conda:
        "../envs/emudrift.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        mem_mb=48000 if GPUS else 4000,
        runtime=720,
        batch_size=experiment.config.resources.answer_batch_size,
    params:
        # The last shard has fewer questions than its name; of more, those that are answered are kept.
        asked=lambda wildcards: SEEING.asked(SEEING.variant(wildcards.variant).task, RowRange.parse(wildcards.rows)),
    shell:
        "python scripts/answer_shard.py"
        " --arm {wildcards.arm:q}"
        " --variant {wildcards.variant:q}"
        " --rows {wildcards.rows:q}"
        " --batch-size {resources.batch_size}"
        " --log {log:q}"
