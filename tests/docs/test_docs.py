"""The documentation holds together: every relative link and anchor leads somewhere, and quoted errors are still raised.

Reads the Markdown as GitHub does; `make docs` checks the same links as the site has them.
"""

import ast
import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from emudrift.config.experiment_config import Config
from emudrift.config.reader import parse_config

NAMES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "bench/RESULTS.md", "demo/models/README.md")
PAGES = sorted([*(ROOT / name for name in NAMES), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
# Messages that troubleshooting.md quotes, but that others print: Snakemake, its executor, SLURM.
FOREIGN = (
    "Error: Directory cannot be locked", "The given account", "SLURM sbatch failed", "Batch job submission failed",
    "Unable to guess SLURM account", "Slurm accounting storage is disabled", "The 'sacctmgr' reported", "SLURM status is",
    "MissingOutputException", "FileNotFoundError: …",
)  # fmt: skip


def prose(page: Path) -> str:
    """A page without what stands in fences or in code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*(?:\n[^`\n]+)?`", "", text)


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    seen: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, flags=re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = "".join(c for c in plain.lower() if c.isalnum() or c in "-_ ").replace(" ", "-")
        seen.append(f"{name}-{seen.count(name)}" if name in seen else name)
    return set(seen)


def faults(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_and_anchor_leads_somewhere(page):
    assert faults(page) == []


def test_broken_links_are_noticed(tmp_path):
    (tmp_path / "b.md").write_text("# One: `two`\n\n```\n# three\n```\n")
    (tmp_path / "a.md").write_text(
        "[x](b.md) [x](b.md#one-two) [x](#here) `[x](code.md)`\n\n# Here\n\n"
        "[1](c.md) [2](b.md#two) [3](b.md#three) [`4`](#there) [x](https://example.org/c.md)\n"
    )
    assert faults(tmp_path / "a.md") == ["c.md", "b.md#two", "b.md#three", "#there"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_settings_that_a_page_shows_are_valid(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    # The plugins that a page shows, each with its name in its first line, are there for all of its settings.
    for name, code in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", text, flags=re.M | re.S):
        (tmp_path / name).write_text(code, encoding="utf-8")
    plugins = {"plugins": [f"./{path.name}" for path in sorted(tmp_path.iterdir())]}
    for block in re.findall(r"^```yaml\n(.*?)^```", text, flags=re.M | re.S):
        shown = yaml.safe_load(block)
        if isinstance(shown, dict) and set(shown) & set(Config.model_fields):
            assert set(shown.get("plugins", [])) <= set(plugins["plugins"])
            # Another list of models brings a baseline of its own.
            settings = {key: value for key, value in shipped.items() if key != "baseline" or "models" not in shown}
            parse_config(settings | shown | plugins, str(tmp_path / page.name))


def messages() -> list[str]:
    """Every text of the source with … where a value stands."""
    found = []
    for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("scripts/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    others = [*ROOT.glob("rules/*.smk"), ROOT / "profiles/default/config.yaml"]
    found += [re.sub(r"\{[^{}]*\}", "…", path.read_text(encoding="utf-8")) for path in others]
    return found


def quoted() -> list[str]:
    """What troubleshooting.md quotes: all code with a space in it in "Symptom", and in the first column of messages."""
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    places = re.findall(r"^\*Symptom\*.*?(?=\n\n)", text, flags=re.M | re.S)
    for table in re.findall(r"^\| message \|.*?(?=\n\n|\Z)", text, flags=re.M | re.S):
        places += [row.split(" | ")[0] for row in table.splitlines()[2:]]
    code = [" ".join(each.split()) for place in places for each in re.findall(r"`([^`]+)`", place)]
    return [
        each for each in code if " " in each and not each.startswith((*FOREIGN, "squeue ", "sacctmgr ", "scontrol "))
    ]


def is_raised(message: str, sources: list[str]) -> bool:
    """Whether every piece between values, or of a sentence, stands in some text: messages are put together from several."""
    # A value that the page gives as an example, such as a number, may stand for any.
    pieces = [piece.strip(" :;,.()") for piece in re.split(r"…|; |\. |\b\d[\d,.]*\b|'[^']*'", message)]
    return all(any(piece in source for source in sources) for piece in pieces)


def test_messages_that_troubleshooting_quotes_are_still_those_of_the_source():
    sources = messages()
    assert len(quoted()) > 20
    assert [message for message in quoted() if not is_raised(message, sources)] == []
    assert not is_raised("the disk is made of cheese", sources)
