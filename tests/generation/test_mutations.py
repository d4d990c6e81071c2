"""The table of mutations in docs/engine.md is that of tests/mutations.py, and each of them can still be made."""

import ast
from collections import Counter

from conftest import ROOT
from mutations import MUTATIONS, PACKAGE, table


def test_the_documented_mutations_are_those_that_can_be_made():
    assert table() in (ROOT / "docs/engine.md").read_text(), f"docs/engine.md should contain:\n{table()}"
    for each in MUTATIONS:
        source = (ROOT / PACKAGE / each.file).read_text()
        assert source.count(each.old) == 1, each
        ast.parse(source.replace(each.old, each.new))
        file, name = each.test.split("::")
        assert f"def {name}(" in (ROOT / "tests/generation" / file).read_text(), each
    assert set(Counter(each.what for each in MUTATIONS).values()) == {1}
