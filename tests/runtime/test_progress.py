"""Progress: images per hour and time left, on a terminal, in a pipe and in a job's log."""

import re

import pytest
from terminals import CODES, in_pipe, on_terminal

from emudrift.runtime import progress as module
from emudrift.runtime.progress import Progress

WORK = """
import logging, sys, time
from pathlib import Path
from emudrift.runtime import progress
from emudrift.runtime.terminal import start_logging
start_logging(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
progress.SECONDS_BETWEEN_LINES = 0.0
with progress.Progress("base-cfg3-0123456789ab 000000-000500", 500, "image") as bar:
    bar.skip(100)
    for step in range(4):
        bar.update(100)
        logging.warning("in between %d", step)
        time.sleep(0.05)
"""


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_the_rate_counts_this_attempts_images_alone(clock):
    progress = Progress("a", 500, "image")
    progress.skip(20)
    clock[0] += 360
    progress.update(100)
    # 100 in 0.1 h; 380 are left, which take 0.38 h.
    assert progress.rate() * 3600 == pytest.approx(1000)
    assert progress.meter() == "120 of 500 images, 1,000 images per hour, 23 min left"
    clock[0] += 1368
    progress.update(380)
    assert progress.meter("well") == "500 of 500 images, 1,000 images per hour, took 29 min, well"


def test_before_anything_is_done_nothing_is_promised(clock):
    progress = Progress("a", 500, "image")
    progress.skip(20)
    assert progress.meter() == "20 of 500 images"


def test_bytes_are_counted_in_megabytes_with_and_without_a_known_size(clock):
    known, unknown = Progress("a", 30_000_000, "B"), Progress("a", 0, "B")
    clock[0] += 4
    for progress in (known, unknown):
        progress.update(10_000_000)
    assert known.meter() == "10.0 of 30.0 MB, 2.5 MB/s, 8 s left"
    assert unknown.meter() == "10.0 MB, 2.5 MB/s"


def test_in_a_log_there_is_a_line_now_and_then_and_one_at_the_end(clock, caplog):
    caplog.set_level("INFO")
    with Progress("a shard", 500, "image") as progress:
        progress.skip(100)
        for _ in range(400):
            clock[0] += 1
            progress.update()
    first, *lines = caplog.messages
    assert first == "a shard: 100 of 500 images already exist"
    assert len(lines) == 400 // 11 + 1
    assert lines[0] == "a shard: 111 of 500 images, 3,600 images per hour, 6 min left"
    assert lines[-1] == "a shard: 500 of 500 images, 3,600 images per hour, took 7 min"


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_on_a_terminal_rate_and_time_left_stand_beside_the_bar_and_log_lines_above_it(columns):
    status, seen = on_terminal("-c", WORK, columns=columns)
    assert status == 0
    # What stays of each line: rich redraws the bar after a carriage return or on a line erased.
    drawn = [CODES.sub("", line).rstrip() for line in re.split(r"\r|\n", seen)]
    assert [line[9:] for line in drawn if "in between" in line] == [f"in between {step}" for step in range(4)]
    bars = [line for line in drawn if line.startswith("base-cf")]
    assert max(map(len, bars)) <= columns
    if columns >= 80:
        assert bars[-1].startswith("base-cfg3")
        assert re.search(r"━ 500 of 500 images, [0-9,]+ images per hour, took \d+ s$", bars[-1])
        assert re.search(
            r" [2-5]00 of 500 images, [0-9,]+ images per hour, \d+ s left$", bars[-2] + "\n" + bars[-3], re.M
        )
    if columns == 200:
        assert bars[-1].startswith("base-cfg3-0123456789ab 000000-000500 ━")


def test_a_bar_that_an_error_ends_gives_the_cursor_back():
    program = WORK.replace("bar.skip(100)", "raise ValueError('x')")
    status, seen = on_terminal("-c", program)
    assert status == 1
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1
    assert seen.index("\x1b[?25l") < seen.index("\x1b[?25h")


def test_in_a_job_both_terminal_and_log_get_lines_and_no_bar(tmp_path):
    status, seen = on_terminal("-c", WORK, tmp_path / "a.log")
    assert status == 0
    log = (tmp_path / "a.log").read_text()
    assert "\x1b" not in log
    assert "━" not in seen
    assert "500 of 500 images" in seen
    lines = [line[9:] for line in log.splitlines() if "per hour" in line]
    pattern = (
        r"base-cfg3-0123456789ab 000000-000500: [2-5]00 of 500 images, [0-9,]+ images per hour, (\d+ s left|took \d+ s)"
    )
    assert all(re.fullmatch(pattern, line) for line in lines), lines
    assert len(lines) == 4
    # The same lines where nobody watches.
    piped = in_pipe("-c", WORK, tmp_path / "b.log")
    assert piped.stdout == ""
    assert piped.stderr == (tmp_path / "b.log").read_text()
    assert piped.stderr.count("per hour") == 4
