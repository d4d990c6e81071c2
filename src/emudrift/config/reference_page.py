"""docs/configuration.md, every key of the config in tables, from the JSON schema; and the table of metrics, from the registry."""

import json
import re
from typing import Any

from emudrift.config.extractors import EXTRACTORS
from emudrift.config.metrics import METRICS, Metric, built_in
from emudrift.config.registry import names_of

Schema = dict[str, Any]

INTRODUCTION = """\
# Configuration

*Generated from `src/emudrift/config/` by `python scripts/write_schema.py`: edit the classes there, not this page.*

One YAML file is one experiment: `config.yaml` is the study at full size, after the published one ([what
differs](protocol.md#the-published-emu3-study)), `demo/config.yaml` the miniature.

- `snakemake --configfile my.yaml …` takes another file. Give one file; settings of several are not merged, and `--config`
  is refused, since every job reads that file itself.
- A misspelt key is refused with the nearest valid one, a key that stands twice as well, and all faults are listed at once.
- Paths start at the repository; `./` and `../` start at the config file; `~` is your home.
- Editors complete and check keys by `schemas/config.schema.json`: begin the file with
  `# yaml-language-server: $schema=schemas/config.schema.json`.
- What a change makes run again: [README](../README.md#what-reruns-when). Whatever can change a pixel or a feature is part of a
  fingerprint, which is part of the path of its results, so results of two settings never mix.

A key in **bold** is required. "Default" is what holds where the key is left out.
"""
_HEAD = "| key | value | default | meaning |\n|---|---|---|---|\n"
_TYPES = {
    "null": "`null`",
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
}


def configuration_page(schema: Schema) -> str:
    """The page, as GitHub's Markdown.

    Args:
        schema: `Config.model_json_schema()`.
    """
    titles = _section_titles(schema)
    parts = [INTRODUCTION, f"## The whole file\n\n{_table(schema, schema, titles)}"]
    for name, title in titles.items():
        section = schema["$defs"][name]
        text = " ".join(section.get("description", "").split())
        parts.append(f"## {title}\n\n" + (f"{text}\n\n" if text else "") + _table(section, schema, titles))
    return "\n".join(parts)


def slug(heading: str) -> str:
    """The anchor that GitHub, and MyST with it, gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _section_titles(schema: Schema) -> dict[str, str]:
    """Headings of the sections, by their models' names, in the order in which the file leads to them."""
    uses: dict[str, list[tuple[str, ...]]] = {}

    def follow(section: Schema, path: tuple[str, ...]) -> None:
        for key, value in section["properties"].items():
            for name in _references(value):
                known = name in uses
                uses.setdefault(name, []).append((*path, key))
                if not known:
                    follow(schema["$defs"][name], (*path, key))

    follow(schema, ())
    titles: dict[str, str] = {}
    for name, paths in uses.items():
        title = _heading(schema["$defs"][name], paths)
        # A key that is one of these, or a list of such with names.
        titles[name] = f"{title}: one of several" if title in titles.values() else title
    return titles


def _heading(section: Schema, paths: list[tuple[str, ...]]) -> str:
    """`models: generator: emu3` for one kind of several; else where the section stands, or its keys if it has many places."""
    for key, value in section["properties"].items():
        kinds = [value["const"]] if "const" in value else value.get("enum", []) if key == "name" else []
        if kinds:
            return f"{paths[0][-1]}: {key}: {' or '.join(map(str, kinds))}"
    if len(set(paths)) == 1:
        return ": ".join(paths[0])
    return ", ".join(dict.fromkeys(path[-1] for path in paths))


def _references(value: Schema) -> list[str]:
    """Names of the sections that a value can be, alone or in a list."""
    if "$ref" in value:
        return [value["$ref"].rsplit("/", 1)[-1]]
    parts = [*value.get("anyOf", []), *value.get("oneOf", [])]
    parts += [value[key] for key in ("items", "additionalProperties") if isinstance(value.get(key), dict)]
    return [name for part in parts for name in _references(part)]


def _table(section: Schema, schema: Schema, titles: dict[str, str]) -> str:
    rows = []
    for key, value in section["properties"].items():
        required = key in section.get("required", [])
        name = f"**`{key}`**" if required else f"`{key}`"
        cells = [name, _kind(value, titles), _default(value, required), _meaning(value, schema)]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return _HEAD + "\n".join(rows) + "\n"


def _meaning(value: Schema, schema: Schema) -> str:
    """The key's own description, else that of its section."""
    text = value.get("description")
    if text is None and "const" in value:
        return "selects this kind"
    if text is None:
        referred = _references(value)
        text = schema["$defs"][referred[0]].get("description", "") if len(referred) == 1 else ""
    return _escape(" ".join(text.split()))


def _escape(text: str) -> str:
    """Free text as Markdown that shows it: <name> is no HTML, and * is no emphasis."""
    return re.sub(r"([<>*])", r"\\\1", text)


def _default(value: Schema, required: bool) -> str:
    if required:
        return "required"
    if "default" not in value:
        return "see there"
    default = _shortened(value["default"])
    if default is None:
        return "none"
    if default in ([], {}, ""):
        return "empty"
    if isinstance(default, list) and default and isinstance(default[0], dict):
        return f"one with `name: {default[0].get('name')}`"
    if isinstance(default, dict):
        default = {key: each for key, each in default.items() if each is not None}
        return "`{" + ", ".join(f"{key}: {each}" for key, each in default.items()) + "}`"
    return f"`{default if isinstance(default, str) and default.isprintable() else json.dumps(default)}`"


def _shortened(default: Any) -> Any:
    """With checksums and commits, which no table has room for, cut off."""
    if isinstance(default, dict):
        return {key: _shortened(each) for key, each in default.items()}
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{32,}\b", r"\1…", default) if isinstance(default, str) else default


def _kind(value: Schema, titles: dict[str, str]) -> str:
    """What a value may be, in words."""
    if "$ref" in value:
        title = titles[_references(value)[0]]
        return f"[{title.partition(': ')[2] or title}](#{slug(title)})"
    for key in ("anyOf", "oneOf"):
        if key in value:
            parts = [part for part in value[key] if part.get("type") != "null" or value.get("default") is not None]
            return " or ".join(_kind(part, titles) for part in parts)
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if value.get("type") == "array":
        return f"list of {_kind(value['items'], titles)}" if "items" in value else "list"
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return f"mapping to {_kind(inner, titles)}" if isinstance(inner, dict) else "mapping"
    return _TYPES.get(value.get("type", ""), "any") + _limits(value)


def _limits(value: Schema) -> str:
    low, high = value.get("minimum"), value.get("maximum")
    above, below = value.get("exclusiveMinimum"), value.get("exclusiveMaximum")
    parts = []
    if low is not None and high is not None:
        parts.append(f"{low:g} to {high:g}")
    else:
        parts += [f"from {low:g}"] if low is not None else []
        parts += [f"to {high:g}"] if high is not None else []
    parts += [f"above {above:g}"] if above is not None else []
    parts += [f"below {below:g}"] if below is not None else []
    parts += [f"of the form `{value['pattern']}`"] if "pattern" in value else []
    return " " + ", ".join(parts) if parts else ""


START, END = "<!-- metrics: from the registry, by scripts/write_schema.py -->\n", "<!-- end of metrics -->\n"


def with_metrics(page: str) -> str:
    """A page with the table of built-in metrics between its two marks."""
    before, _, rest = page.partition(START)
    head = "| in the config | values (better) | extractors | definition | source |\n|---|---|---|---|---|\n"
    rows = "".join(map(_metric_row, map(built_in, METRICS)))
    return before + START + "\n" + head + rows + "\n" + END + rest.partition(END)[2]


def _metric_row(metric: Metric) -> str:
    values = ", ".join(
        f"{each.label or each.name} ({'higher' if each.higher_is_better else 'lower'})" for each in metric.values
    )
    with_distance = [name for each in EXTRACTORS if each.distance for name in names_of(each, "name")]
    extractors = ", ".join(f"`{name}`" for name in metric.reads or with_distance)
    return f"| `{metric.name}` | {values} | {extractors} | {metric.formula} | {metric.citation} |\n"
