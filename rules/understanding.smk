"""What models see: questions about pictures, and the scores of their answers. Nothing without `understanding:` in the config.

Inputs: files of questions, captions and answers of people, that the config names; answers by answer_shard, or that the config brings.
Outputs: results/<name>/understanding/<task>-<key>/{questions.parquet,references.json,support.json}, one for each choice of
settings; results/<name>/understanding/scores/<arm>/<variant>.json; understanding.csv, understanding_differences.csv.
"""

SCORE_FILES = experiment.understanding.score_files()
UNDERSTANDING_TABLES = [paths.understanding_table, paths.understanding_differences] if SCORE_FILES else []


localrules:
    questions,
    score_answers,
    collect_understanding,


rule questions:
    input:
        files=lambda wildcards: [
            existing(experiment.path(file), f"understanding: {key}")
            for key, files in experiment.understanding.task(wildcards.task).files().items()
            for file in files
        ],
        # Only that the pictures exist matters here, never their times.
        pictures=lambda wildcards: ancient(
            existing(experiment.path(experiment.understanding.task(wildcards.task).images), "understanding: images")
        ),
    output:
        questions=paths.questions("{task}"),
        references=paths.references("{task}"),
        support=paths.support("{task}"),
    log:
        paths.log("questions", "{task}"),
    benchmark:
        paths.benchmark("questions", "{task}")
    priority: CHECKS_FIRST
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        # What is checked depends on how much is asked; the table itself does not.
        asked=lambda wildcards: experiment.understanding.task(wildcards.task).model_dump_json(
            include={"number", "shots", "control"}
        ),
    shell:
        "python scripts/questions.py --task {wildcards.task:q} --log {log:q}"


rule score_answers:
    input:
        answers=lambda wildcards: [
            existing(file, "models: answers")
            for file in experiment.understanding.brought_files(wildcards.arm, wildcards.variant)
        ]
        or experiment.understanding.answer_manifests(wildcards.arm, wildcards.variant),
        people=lambda wildcards: experiment.understanding.people(wildcards.variant),
    output:
        scores=paths.answer_scores("{arm}", "{variant}"),
    log:
        paths.log("score_answers", "{arm}", "{variant}"),
    benchmark:
        paths.benchmark("score_answers", "{arm}", "{variant}")
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        asked=lambda wildcards: experiment.understanding.variant(wildcards.variant).task.asked,
    shell:
        "python scripts/score_answers.py --arm {wildcards.arm:q} --variant {wildcards.variant:q} --log {log:q}"


rule collect_understanding:
    input:
        SCORE_FILES,
    output:
        table=paths.understanding_table,
        differences=paths.understanding_differences,
    log:
        paths.log("collect_understanding"),
    benchmark:
        paths.benchmark("collect_understanding")
    conda:
        "../envs/emudrift.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        note=experiment.config.note,
        baseline=experiment.baseline,
        models=experiment.model_names,
    shell:
        "python scripts/collect_understanding.py --log {log:q}"
