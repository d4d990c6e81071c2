"""Sphinx configuration of the documentation site: `make docs`, then open docs/_build/html/index.html.

The pages are plain Markdown that also reads well on GitHub. Links between them therefore follow the repository's layout, which is
why the whole repository is the source; and the table of contents, which GitHub would show as code, is added here.
"""

from pathlib import Path

project = "emudrift"
author = "The emudrift authors"
project_copyright = "the emudrift authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_typehints = "signature"
include_patterns = [
    "docs/*.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "bench/RESULTS.md",
    "demo/models/README.md",
]
exclude_patterns = [".*", "results", "resources", "docs/_build", "src", "tests", "lab"]
root_doc = "docs/index"
# Heading anchors like GitHub's, down to ####.
myst_heading_anchors = 4
html_theme = "furo"
html_title = "emudrift"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
linkcheck_timeout = 20
linkcheck_workers = 2

CONTENTS = {
    "Start": [
        "two-folders",
        "quick-start-cluster",
        "configuration",
        "adding-a-model",
        "extending",
        "report",
        "verdicts",
        "../README",
    ],
    "The numbers": ["protocol", "metrics", "statistics", "understanding", "prompt-following", "human-evaluation"],
    "Running it": ["your-cluster", "scaling", "engine", "troubleshooting", "slurm-faults"],
    "Development": ["architecture", "../CONTRIBUTING", "../CHANGELOG"],
    "More": ["library", "comparison", "../bench/RESULTS", "../demo/models/README"],
}
"""Headings of the sidebar and their pages. A page that is not listed appears under the last heading."""
TITLES = {"../README": "README", "../bench/RESULTS": "Benchmarks", "../demo/models/README": "The demo's models"}


def table_of_contents(docs: Path) -> str:
    """The hidden toctrees of the front page."""
    listed = [page for pages in CONTENTS.values() for page in pages]
    others = sorted(path.stem for path in docs.glob("*.md") if path.stem not in (*listed, "index"))
    parts = []
    for heading, pages in CONTENTS.items():
        there = [page for page in pages if docs.joinpath(f"{page}.md").exists()]
        there += others if heading == list(CONTENTS)[-1] else []
        lines = [f"{TITLES[page]} <{page}>" if page in TITLES else page for page in there]
        parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {heading}", "", *lines, "```"]))
    return "\n\n" + "\n\n".join(parts) + "\n"


def add_contents(app, page, source):
    if page == root_doc:
        source[0] += table_of_contents(Path(app.confdir))


def lead_to_front(app, exception):
    if exception is None and app.builder.name == "html":
        front = f"{root_doc}.html"
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={front}"><a href="{front}">{project}</a>\n'
        Path(app.outdir, "index.html").write_text(page)


def read_front_again(app, environment, added, changed, removed):
    return [root_doc]  # A new page changes its table of contents, though not its own text.


def setup(app):
    app.connect("env-get-outdated", read_front_again)
    app.connect("source-read", add_contents)
    app.connect("build-finished", lead_to_front)
