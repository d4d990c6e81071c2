"""Every command that the documentation shows: Snakemake takes it, its targets, scripts and files exist, its options are known.

Targets are planned in one dry run. Programs that are not ours (SLURM's, the shell's) are known by name only.
"""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from conftest import ROOT, small_config
from snakemake.cli import parse_args
from test_docs import PAGES

from emudrift.command_line.main import parse as parse_emudrift

SHELL = {".", "apptainer", "cd", "cp", "git", "tmux", "du", "pgrep", "export", "kill", "hf", "$EDITOR"}
SLURM = {"squeue", "sacct", "sacctmgr", "scontrol", "sinfo", "srun", "sbatch", "scancel", "sshare"}
OURS = ("snakemake ", "emudrift ", "make ", "python ", "scripts/", ".ci/", ".venv/")
RULES = {
    name
    for path in ROOT.glob("rules/*.smk")
    for name in re.findall(r"^(?:rule |        name:\n            f\")(\w+)[:{]", path.read_text(), flags=re.M)
}
RULES |= set(re.findall(r"^rule (\w+):", (ROOT / "Snakefile").read_text(), flags=re.M))
MAKEFILE = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
TARGETS = set(re.findall(r"^([\w./-]+):", MAKEFILE, flags=re.M))


def commands_of(text: str) -> list[list[str]]:
    """The words of each command in fences of bash and in code within the text, without what is set for it (`ARM=…`)."""
    lines = [
        line for fence in re.findall(r"^```bash\n(.*?)^```", text, flags=re.M | re.S) for line in fence.splitlines()
    ]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for span in re.findall(r"`([^`]+)`", prose):
        line = " ".join(span.split())
        if re.sub(r"^([A-Z]+=\S+ )+", "", line).startswith(OURS) and " " in line:
            lines.append(line)
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            command = words[:end]
            while command and re.match(r"[A-Z]+=", command[0]):
                command = command[1:]
            found.append(command)
            words = words[end + 1 :]
    return [command for command in found if command]


def docstring(path: Path) -> str:
    """The commands at the top of a Snakefile, as a fence: each begins its line, and what it does follows after two spaces."""
    lines = path.read_text().split('"""')[1].splitlines()
    shown = [re.split(r" {2,}", line)[0] for line in lines if re.match(r"([A-Z]+=\S+ )*snakemake ", line)]
    return "```bash\n" + "".join(f"{line}\n" for line in shown) + "```"


SOURCES = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
SOURCES |= {
    path.relative_to(ROOT).as_posix(): docstring(path)
    for path in (ROOT / "Snakefile", *sorted(ROOT.glob("rules/*.smk")))
}
SHOWN = {name: commands for name, text in SOURCES.items() if (commands := commands_of(text))}


def check_snakemake(words: list[str], targets: set[str]) -> None:
    """Reads a command line as Snakemake does; adds its targets."""
    words = [word for word in words if word != "…"]
    _, found = parse_args(words)
    files = [Path(path) for path in found.configfile or []]
    assert len(files) <= 1, f"--configfile takes {files} all as config files; write the target before it"
    assert all(path.exists() or path.name in ("my.yaml", "copy.yaml") for path in files), files
    for target in [*found.targets, *(found.forcerun or [])]:
        assert target in RULES or target.startswith("results/"), f"{target} is no rule"
    targets |= set(found.targets)


def check_script(path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads a script's arguments as the script does, without its work."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    read = []
    monkeypatch.setattr(script.door, "enter", lambda work, arguments: read.append(arguments))
    monkeypatch.setenv("EMUDRIFT_CONFIG", "config.yaml")
    monkeypatch.setattr(sys, "argv", [str(path), *words])
    if "--help" in words:
        with pytest.raises(SystemExit, match="^0$"):
            script.main()
    else:
        script.main()
        assert len(read) == 1


def check_emudrift(words: list[str]) -> None:
    """Reads a command line as the program does, without its work; a command alone may stand for its name."""
    if "--help" in words or len(words) == 1:
        words = [*words[:1], "--help"]
        with pytest.raises(SystemExit, match="^0$"):
            parse_emudrift(words)
    else:
        parse_emudrift(words)


def check(words: list[str], targets: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program = words[0].removeprefix(".venv/bin/")
    if program == "snakemake":
        check_snakemake(words[1:], targets)
    elif program == "emudrift":
        check_emudrift(words[1:])
    elif program == "make":
        assert [word for word in words[1:] if "=" not in word and word not in TARGETS] == []
    elif program == "python" and words[1:2] == ["-m"]:
        assert words[2] in ("pytest", "pytorch_fid", "pip")
        assert all((ROOT / word).exists() for word in words[3:] if word.startswith("tests"))
    elif program == "python" and words[1:2] == ["-c"]:
        compile(words[2], "shown", "exec")
    elif program == "python" or program.startswith("scripts/"):
        script, *arguments = words[1:] if program == "python" else words
        if script.startswith("scripts/") and arguments:  # Alone it is the name of a script.
            check_script(ROOT / script, arguments, monkeypatch)
        assert (ROOT / script).exists()
    else:
        assert program in SHELL | SLURM or (ROOT / words[0]).exists(), f"what is {program}?"


@pytest.mark.parametrize("name", SHOWN)
def test_every_command_that_is_shown_can_be_read(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in SHOWN[name]:
        try:
            with monkeypatch.context() as patched:
                check(words, set(), patched)
        except (AssertionError, SystemExit) as error:
            pytest.fail(f"{shlex.join(words)}: {error}")


def test_the_targets_that_are_shown_can_be_planned_together(new_workflow, monkeypatch):
    monkeypatch.chdir(ROOT)
    targets: set[str] = set()
    for words in (words for commands in SHOWN.values() for words in commands if words[0] == "snakemake"):
        check_snakemake(words[1:], targets)
    assert {"plan", "status", "check", "human_evaluation_pages", "import_votes", "report", "remove_images"} <= targets
    workflow = new_workflow("commands")
    workflow.snakemake(*sorted(targets & RULES), "--dry-run", config=workflow.write_config(small_config()))


@pytest.mark.parametrize(
    "line",
    [
        "snakemake --configfile demo/config.yaml plan -c 1",
        "snakemake plan -c 1 --configfile demo/none.yaml",
        "snakemake plans -c 1",
        "snakemake plan --corse 1",
        "snakemake --profile slrum",
        "make demos",
        "python scripts/plans.py",
        "python scripts/fit_curves.py FILE --minimum-n 3",
        "python scripts/generate_shard.py --arms x",
        "emudrift compair a b",
        "emudrift compare a b --refrence c",
        "frobnicate --now",
    ],
)
def test_a_wrong_command_is_noticed(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    (words,) = commands_of(f"```bash\n{line}\n```")
    with pytest.raises((AssertionError, SystemExit, OSError)):
        check(words, set(), monkeypatch)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "--configfile demo/config.yaml plan -c 1",
            "plan: no such config file; .* snakemake plan --configfile demo/config",
        ),
        ("plan --configfile demo/none.yaml", "demo/none.yaml: no such config file$"),
        ("plan --configfile BROKEN", ".*broken.yaml: not valid YAML: .*line 3, column 1"),
        ("plan -c 1 --configfile demo/config.yaml", None),
    ],
)
def test_a_config_file_that_is_missing_or_broken_or_a_target_taken_for_one_is_one_line(
    line, said, monkeypatch, tmp_path
):
    """Where Snakemake itself, before it reads the Snakefile, ends with a traceback, or with a guess."""
    monkeypatch.chdir(ROOT)
    broken = tmp_path / "broken.yaml"
    broken.write_text((ROOT / "demo/config.yaml").read_text().replace("name: demo", 'name: "demo'))
    line = line.replace("BROKEN", str(broken))
    monkeypatch.setattr(sys, "argv", ["snakemake", *line.split()])
    if said is None:
        assert parse_args(sys.argv[1:])[1].targets == ["plan"]
        return
    with pytest.raises(SystemExit, match=f"^error: {said}"):
        parse_args(sys.argv[1:])
