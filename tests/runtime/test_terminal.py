"""The terminal's look, seen through a real pseudo terminal and through a real pipe."""

import logging
import os
import re
from pathlib import Path

import pytest
from conftest import ROOT
from terminals import CODES, in_pipe, on_terminal

from emudrift.runtime.terminal import duration, plain, styled, survive_closed_pipes, table

ROWS = [
    {"arm": "base, guidance 3", "images": "1,250 of 10,000", "images/h": "1,234 (measured)", "GPU-hours": "7.1"},
    {"arm": "finetuned, guidance 3", "images": "0 of 10,000", "images/h": "400 (assumed)", "GPU-hours": "25.0"},
]


SHOW = f"from emudrift.runtime.terminal import show, table; show('x ' * 100, table({ROWS!r}))"


def test_in_a_pipe_tables_are_aligned_plain_text_that_is_never_wrapped():
    run = in_pipe("-c", SHOW, COLUMNS="40", FORCE_COLOR="1")
    text, head, *rows = run.stdout.splitlines()
    assert len(text) > 80
    assert "\x1b" not in run.stdout
    assert [re.split(r"  +", line) for line in (head, *rows)] == [list(ROWS[0]), *(list(row.values()) for row in ROWS)]
    assert len({len(line) for line in (head, *rows)}) == 1, "the numbers of the last column do not end below each other"
    assert [line.index("of") for line in rows] == [rows[0].index("of")] * 2


def test_on_a_terminal_a_table_fits_the_window_and_loses_nothing():
    _, seen = on_terminal("-c", SHOW.replace("'x ' * 100, ", ""), columns=50)
    assert "\x1b[1m" in seen
    lines = CODES.sub("", seen).splitlines()
    assert max(map(len, lines)) <= 50
    for row in ROWS:
        for word in " ".join(row.values()).split():
            assert word in " ".join(lines), word


FAIL = (
    "from emudrift.runtime.terminal import fail; "
    "fail('c.yaml: shard_sise: unknown key (a; b); did you mean shard_size? ' + 'x' * 90)"
)


def test_an_error_is_red_on_a_terminal_and_its_hint_dim_all_on_one_line():
    status, seen = on_terminal("-c", FAIL, columns=40)
    assert status == 1
    assert seen == (
        "\x1b[1;31merror: \x1b[0mc.yaml: shard_sise: unknown key (a; b)\x1b[2m; did you mean shard_size? "
        + "x" * 90
        + "\x1b[0m\n"
    )
    status, seen = on_terminal("-c", FAIL, NO_COLOR="1")
    assert status == 1
    assert seen.startswith("\x1b[1merror: ")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", seen), "a colour, although NO_COLOR asks for none"


@pytest.mark.parametrize("terminal", ["dumb", ""])
def test_a_terminal_that_knows_no_codes_gets_none(terminal):
    assert on_terminal("-c", FAIL, TERM=terminal)[1] == in_pipe("-c", FAIL).stderr


def test_an_error_in_a_pipe_is_the_same_words():
    run = in_pipe("-c", FAIL)
    said = "error: c.yaml: shard_sise: unknown key (a; b); did you mean shard_size? " + "x" * 90 + "\n"
    assert (run.returncode, run.stdout, run.stderr) == (1, "", said)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("a.tar: incomplete archive; remove it and run again", "; remove it and run again"),
        ("a.tar: incomplete archive (bad; worse); remove it", "; remove it"),
        ("no semicolon", ""),
        ("one (unclosed; parenthesis", "; parenthesis"),
        ("fault; hint; more of it", "; hint; more of it"),
        ("a;b is one word", ""),
        ("", ""),
    ],
)
def test_the_hint_is_what_follows_the_first_semicolon_outside_parentheses(message, hint):
    text = styled(f"error: {message}")
    assert text.plain == f"error: {message}", "colours changed the words"
    dim = [text.plain[span.start : span.end] for span in text.spans if span.style == "dim"]
    assert "".join(dim) == hint


def test_a_scripts_error_is_one_line_on_the_terminal_in_a_pipe_and_in_its_log(tmp_path: Path):
    bad = tmp_path / "bad.yaml"
    bad.write_text((ROOT / "config.yaml").read_text().replace("guidance_scales:", "guidance_scale:"))
    said = f"{bad}: guidance_scale: unknown key; did you mean 'guidance_scales'?"
    command = [ROOT / "scripts" / "plan.py", "--config", bad, "--log", tmp_path / "a.log"]
    status, seen = on_terminal(*command)
    assert status == 1
    assert CODES.sub("", seen) == f"error: {said}\n"
    assert re.fullmatch(rf"\d\d:\d\d:\d\d error: {re.escape(said)}\n", (tmp_path / "a.log").read_text())
    run = in_pipe(*command)
    assert (run.returncode, run.stdout) == (1, "")
    assert re.fullmatch(rf"\d\d:\d\d:\d\d error: {re.escape(said)}\n", run.stderr)


def test_plain_text_is_no_markup():
    """Brackets and colons in captions and paths are what they are."""
    assert plain("[red]a[/red] :smile:", table([{"[b]": "[i]x"}])) == "[red]a[/red] :smile:\n[b]\n[i]x"


def test_a_table_without_rows_is_empty():
    assert plain(table([])).strip() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "1 h 0 min"),
        (5400, "1 h 30 min"),
        (86_399, "1 d 0 h"),
        (100_000, "1 d 3 h"),
    ],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("protected", [False, True])
def test_a_logger_whose_reader_has_gone_goes_on(protected, tmp_path):
    """As that of Snakemake, which does not catch a broken pipe; what else it logs to is not touched."""

    class Strict(logging.StreamHandler):
        def handleError(self, record):
            raise

    reader, writer = os.pipe()
    logger = logging.getLogger(f"unread-{protected}")
    with open(writer, "w") as stream:
        logger.handlers = [logging.FileHandler(tmp_path / "log"), Strict(stream)]
        logger.propagate = False
        if protected:
            survive_closed_pipes(logger.name)
        logger.error("one")
        assert os.read(reader, 100) == b"one\n"
        os.close(reader)
        if protected:
            logger.error("two")
            logger.error("three")
        else:
            with pytest.raises(BrokenPipeError):
                logger.error("two")
            os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # For what the stream still holds.
    assert (tmp_path / "log").read_text().startswith("one\ntwo\n")
