"""Projects and the short commands: everything lies in the user's folder, and views say what Snakemake would do."""

import os
import sys

import pytest
import yaml
from conftest import ROOT, forked, small_config

from emudrift.command_line import snakemake_call
from emudrift.command_line.job_plan import jobs_view, planned_jobs
from emudrift.command_line.main import main, parse
from emudrift.config.experiment import Experiment
from emudrift.config.paths import PROJECT_MARKER, project_of
from emudrift.errors import InputError
from emudrift.runtime.terminal import plain


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """As `emudrift init` makes it."""
    folder = tmp_path_factory.mktemp("own") / "study"
    main(["init", str(folder)])
    return folder


def test_a_project_is_planned_where_it_lies(project):
    """By the snakemake that a user types there, with the workflow from elsewhere."""
    done = forked().snakemake(project, ["--dry-run", "--quiet", "rules", "--cores", "2"], dict(os.environ))
    assert done.returncode == 0, done.stdout[-3000:]
    assert "generate_shard" in done.stdout
    made = {path.name for path in project.iterdir()}
    assert {"config.yaml", "Snakefile", ".gitignore", "profiles", "slurm", PROJECT_MARKER} <= made
    assert not (ROOT / "results/emu3-coco").exists()
    experiment = Experiment.load(project / "config.yaml")
    assert experiment.paths.fid_table == project / "results/emu3-coco/fid.csv"
    assert experiment.path("resources/x") == project / "resources/x"
    assert experiment.identity(str(project / "images")) == "images"


def test_its_config_is_the_workflows_with_its_comments(project):
    own = (project / "config.yaml").read_text().splitlines()
    original = (ROOT / "config.yaml").read_text().splitlines()
    assert own[2:] == original[original.index("name: emu3-coco") :]
    main(["init", str(project)])  # Again: what is there stays.
    assert (project / "config.yaml").read_text().splitlines() == own


def test_a_clone_and_a_project_are_told_apart(tmp_path):
    (tmp_path / "project/inner").mkdir(parents=True)
    (tmp_path / "project" / PROJECT_MARKER).touch()
    assert project_of(tmp_path / "project/inner/config.yaml") == tmp_path / "project"
    assert project_of(tmp_path / "config.yaml") == ROOT
    assert project_of(ROOT / "demo/config.yaml") == ROOT


def test_a_job_of_a_project_runs_the_scripts_of_the_workflow(project):
    """One job, up to its output and its log in the project."""
    config = small_config(
        prompts={"captions": str(ROOT / "demo/data/captions.json")},
        reference={"images": str(ROOT / "demo/data/images")},
    )
    (project / "small.yaml").write_text(yaml.safe_dump(config))
    words = ["--quiet", "rules", "--until", "extract_prompts", "--configfile", "small.yaml", "--cores", "2"]
    done = forked().snakemake(project, words, dict(os.environ))
    assert done.returncode == 0, done.stdout[-3000:]
    assert list((project / "results/small").glob("prompts-*.parquet"))
    assert (project / "results/small/logs/extract_prompts.log").exists()


DRY_RUN = """\
Building DAG of jobs...

[Sat Nov 21 22:20:04 2026]
rule generate_shard:
    output: a.json
    jobid: 3
    reason: Missing output files: a.json; Input files updated by another job: p.parquet
[Sat Nov 21 22:20:04 2026]
rule generate_shard:
    output: b.json
    reason: Updated input files: p.parquet; Input files updated by another job: q.json
localrule collect:
    input: a.json
    output: fid.csv
    reason: Code has changed since last execution
localrule plot:
    output: fid.svg
    reason: Input files updated by another job: fid.csv
rule all:
    input: fid.csv
    reason: Input files updated by another job: fid.csv
"""


def test_jobs_are_counted_by_rule_with_the_reason_why_again():
    lines = [line.split() for line in plain(*jobs_view(planned_jobs(DRY_RUN))).splitlines()]
    assert lines == [
        ["rule", "jobs", "new", "again", "why", "again"],
        ["generate_shard", "2", "1", "1", "inputs", "are", "newer"],
        ["collect", "1", "0", "1", "the", "rule", "was", "changed"],
        ["plot", "1", "0", "1", "follows", "from", "other", "jobs"],
        ["all", "4", "1", "3"],
    ]
    assert jobs_view(planned_jobs("Nothing to be done (all requested files are present and up to date).\n")) == [
        "nothing to be done: all results are up to date"
    ]


def test_the_plan_of_the_shipped_experiment_has_a_line_for_each_rule(capsys, monkeypatch, project):
    def of_forked(experiment, words):
        assert words == ["--dry-run", "--nolock"]
        line = snakemake_call.command_line(experiment, words)
        return forked().snakemake(experiment.project, line[3:], dict(os.environ)).stdout

    monkeypatch.setattr("emudrift.command_line.experiment_commands.output_of", of_forked)
    monkeypatch.chdir(project)
    main(["plan", "--jobs"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 30
    assert ["generate_shard", "140", "140", "0"] in [line.split() for line in lines]


def test_short_views_without_snakemake(finished, capsys, monkeypatch):
    marker = finished.folder / PROJECT_MARKER
    monkeypatch.chdir(finished.folder)
    marker.touch()
    for command, expected in (
        ("plan", "20 of 20"),
        ("status", "finetuned, guidance 3"),
        ("verify", "all are as they were written"),
    ):
        main([command, "--configfile", str(finished.config)])
        said = capsys.readouterr().out
        assert expected in said
        assert "Building DAG" not in said
    marker.unlink()


def test_run_passes_on_what_it_does_not_know(project, monkeypatch):
    called = []
    monkeypatch.setattr(snakemake_call.os, "execv", lambda program, words: called.append(words))
    monkeypatch.chdir(project)
    main(["run", "--profile", "slurm", "check", "--keep-going"])
    (words,) = called
    assert words == [
        sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile"), "--profile", "slurm", "check",
        "--keep-going", "--configfile", str(project / "config.yaml"),
    ]  # fmt: skip
    assert os.getcwd() == str(project)
    main(["run", "-n", "--configfile", "config.yaml"])
    assert called[1][5:] == ["-n", "--cores", "all", "--configfile", str(project / "config.yaml")]
    assert parse(["run", "-c2", "--quiet", "rules"]).rest == ["-c2", "--quiet", "rules"]


def test_a_failure_of_snakemake_is_told_in_its_own_words(project, monkeypatch, tmp_path):
    experiment = Experiment.load(project / "config.yaml")
    for program, said in (
        ("print('12:00:00 error: no such model; give one'); raise SystemExit(1)", "no such model; give one\n"),
        ("print('LockException'); raise SystemExit(1)", "LockException\n"),
    ):
        monkeypatch.setattr(snakemake_call, "command_line", lambda *given, p=program: [sys.executable, "-c", p])
        with pytest.raises(InputError, match=r"^" + said + "Snakemake ended with status 1; its output: .*a.log$"):
            snakemake_call.run_quietly(experiment, [], tmp_path / "a.log")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan"], "there is no config.yaml here; emudrift init DIR makes a project"),
        (["status", "--configfile", "none.yaml"], "none.yaml: cannot read the config file"),
        (["init", "thesis"], "has other files and is no project of emudrift; choose a new or an empty folder"),
    ],
)
def test_what_is_wrong_is_one_line(words, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/text.tex").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="^1$"):
        main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
