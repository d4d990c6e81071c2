"""docs/configuration.md says what the models of the config say: all of it, and nothing that is older."""

import re

from conftest import ROOT

from emudrift.config.experiment_config import Config
from emudrift.config.metrics import METRICS
from emudrift.config.reader import _models_in
from emudrift.config.reference_page import configuration_page, with_metrics


def all_models() -> list:
    """Every settings model that a config can hold, found through pydantic's annotations and not through the schema."""
    found = [Config]
    for model in found:
        for field in model.model_fields.values():
            found += [each for each in dict.fromkeys(_models_in(field.annotation)) if each not in found]
    return found


def sections(page: str) -> list[dict[str, list[str]]]:
    """For each table of the page: cells by key."""
    tables = []
    for part in page.split("\n## ")[1:]:
        rows = [
            re.split(r" (?<!\\)\| ", line.strip("| ")) for line in part.splitlines() if re.match(r"\| \*{0,2}`", line)
        ]
        tables.append({row[0].strip("*`"): row for row in rows})
    return tables


def test_the_shipped_page_is_that_of_the_models():
    shipped = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert shipped == configuration_page(Config.model_json_schema()), "run scripts/write_schema.py"


def test_every_model_has_a_table_of_exactly_its_keys_with_the_required_ones_marked():
    tables = sections(configuration_page(Config.model_json_schema()))
    assert len(tables) == len(all_models())
    for model in all_models():
        table = next((each for each in tables if list(each) == list(model.model_fields)), None)
        assert table is not None, f"no table with the keys of {model.__name__}"
        for key, field in model.model_fields.items():
            assert len(table[key]) == 4
            assert (table[key][0], table[key][2] == "required") == (
                (f"**`{key}`**", True) if field.is_required() else (f"`{key}`", False)
            )
            assert table[key][3].strip(), f"{model.__name__}: {key} has no description; give its Field one"


def test_values_and_limits_are_named():
    table = sections(configuration_page(Config.model_json_schema()))[0]
    assert table["device"][1:3] == ["`cuda`, `cpu`", "`cuda`"]
    assert table["sample_sizes"][1:3] == ["list of whole number from 10", "required"]
    assert table["guidance_scales"][1:3] == ["list of number 1 to 100", "`[3.0]`"]


def test_the_table_of_metrics_is_that_of_the_registry():
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert page == with_metrics(page), "run scripts/write_schema.py"
    assert [name for name in METRICS if f"| `{name}` |" not in page] == []
