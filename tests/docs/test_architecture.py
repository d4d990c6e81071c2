"""The picture of docs/architecture.md is the one that the code gives, and it shows data flowing one way."""

import importlib.util
import itertools
import random
import re

import pytest
from conftest import ROOT

SPEC = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs/draw_architecture.py")
draw = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(draw)


@pytest.fixture(scope="module")
def rooms():
    return draw.rooms_in_order()


@pytest.fixture(scope="module")
def rules(rooms):
    return draw.rules_of(list(rooms))


def test_the_committed_picture_is_what_the_code_gives(rooms, rules):
    assert draw.PICTURE.read_text(encoding="utf-8") == draw.picture(rooms, rules), "run `make architecture`"


def test_no_rule_reads_from_a_later_room(rooms, rules):
    order = {rule.name: list(rooms).index(rule.rooms[-1]) for rule in rules}
    assert [(rule.name, source) for rule in rules for source in rule.reads if order[source] > order[rule.name]] == []
    assert sum(len(rule.reads) for rule in rules) > 30


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_that_the_page_names_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|rules|scripts|profiles|tests|bench|docs|schemas)/[\w./-]+)`", text)
    assert len(named) > 2
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_lines_never_lie_on_top_of_each_other():
    generator = random.Random(0)
    for _ in range(200):
        tops = [generator.randrange(100) for _ in range(20)]
        spans = {str(i): (top, top + generator.randrange(1, 60)) for i, top in enumerate(tops)}
        tracks = draw.tracks_for(spans)
        for a, b in itertools.combinations(spans, 2):
            apart = spans[a][1] < spans[b][0] or spans[b][1] < spans[a][0]
            assert apart or tracks[a] != tracks[b]


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (["images/<arm>/<rows>.json", "images/<arm>/<rows>.tar"], "images/<arm>/<rows>.json .tar"),
        (["gallery/<rows>", "gallery/<rows>.json"], "gallery/<rows>/ .json"),
        (["resources/coco/<file>"], "resources/coco/<file>"),
        (["study/key.json", "study/pages"], "study/key.json, pages"),
        ([f"figures/{name}" for name in ("a.svg", "a.png", "b.svg", "b.png")], "figures/"),
    ],
)
def test_files_of_a_rule_on_one_line(files, line):
    assert draw.summary(files) == line
