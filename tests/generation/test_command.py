"""The command generator: real programs that draw, fail, die, dawdle, or write what nobody asked for."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, experiment, small_config
from PIL import Image

from emudrift.config.reader import parse_config
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation import programs
from emudrift.generation.command import CommandGenerator
from emudrift.generation.draw_shard import draw_shard
from emudrift.generation.registry import check_model, is_unchanged
from emudrift.generation.shards import Identity, PartialShard
from emudrift.runtime.jobs import Stopped, stoppable

PROMPTS = [Prompt(n, f"{n:012d}", n, f"{n}.png", 8, 8, f"caption {n} é", 2**63 + n) for n in range(6)]
IDENTITY = Identity("0123456789ab", "d" * 64)

PROGRAM = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from PIL import Image

prompts = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
output = Path(sys.argv[2])

def draw(prompt, ending=".png", size=None, name=None):
    color = tuple((prompt["seed"] - 2**63).to_bytes(3, "little"))
    image = Image.new("RGB", size or (prompt["width"], prompt["height"]), color)
    path = output / ((name or prompt["prompt_id"]) + ending)
    image.save(path.with_name("." + path.name))
    os.replace(path.with_name("." + path.name), path)

"""
ALL = "for prompt in prompts: draw(prompt)\n"


class Shard:
    """A shard that a program of the test draws."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, folder / "told.jsonl"
        self.partial = PartialShard(folder / "partial", IDENTITY, None)

    def draw(self, body: str, watch=lambda: None, **settings: Any) -> None:
        (self.folder / "program.py").write_text(PROGRAM + body)
        words = [sys.executable, str(self.folder / "program.py"), "{prompts}", "{output}"]
        base = {"command": words, "width": 16, "height": 8, "guidance_scale": None, "device": "cpu"}
        generator = CommandGenerator(base | settings, "mine", self.folder)
        draw_shard(PROMPTS, self.partial, lambda: generator, before_batch=watch)

    @property
    def missing(self) -> list[int]:
        return sorted(int(prompt_id) for prompt_id in self.partial.missing(PROMPTS))


@pytest.fixture
def shard(tmp_path, monkeypatch) -> Shard:
    monkeypatch.setattr(programs, "LOOK", 0.02)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return Shard(tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_left_behind(tmp_path):
    yield
    left = [path.name for path in (tmp_path / "tmp").iterdir()] if (tmp_path / "tmp").exists() else []
    assert left == [], "folders of the program were left behind"


def test_a_program_is_told_what_to_draw_and_its_images_are_taken(shard):
    keep = f"Path({str(shard.told)!r}).write_text(json.dumps([prompts, sys.argv[3:], os.environ['CUDA_VISIBLE_DEVICES']]))\n"
    words = [sys.executable, str(shard.folder / "program.py"), "{prompts}", "{output}", "--cfg={guidance_scale}",
             "{width}x{height}", "$HOME; `x` {}"]  # fmt: skip
    shard.draw(keep + ALL, command=words, guidance_scale=3.0)
    prompts, rest, visible = json.loads(shard.told.read_text())
    assert prompts == [
        {
            "prompt_id": p.prompt_id,
            "caption": p.caption,
            "seed": p.seed,
            "width": 16,
            "height": 8,
            "guidance_scale": 3.0,
        }
        for p in PROMPTS
    ]
    assert rest == ["--cfg=3", "16x8", "$HOME; `x` {}"], "no shell has read them"
    assert visible == "", "on the CPU no GPU is to be seen"
    assert shard.missing == []
    members = shard.partial.read(PROMPTS[5])
    assert members is not None
    (shard.folder / "5.png").write_bytes(members[".png"])
    image = Image.open(shard.folder / "5.png")
    assert (image.size, image.getpixel((0, 0))) == ((16, 8), (5, 0, 0))


def test_only_what_is_missing_is_asked_for(shard):
    shard.draw(ALL)
    for row in (1, 4):
        (shard.partial.folder / f"{PROMPTS[row].prompt_id}.json").unlink()
    shard.draw(f"Path({str(shard.told)!r}).write_text(json.dumps([p['prompt_id'] for p in prompts]))\n" + ALL)
    assert [int(prompt_id) for prompt_id in json.loads(shard.told.read_text())] == [1, 4]
    assert shard.missing == []


def test_jpegs_are_taken_as_they_decode(shard):
    shard.draw("for prompt in prompts: draw(prompt, ending='.JPG')\n")
    assert shard.missing == []


FAILURES = {
    "status": ("sys.exit('cannot find\\nthe weights')", r"ended with status 1 after 2 of 6.*output:\ncannot find\nthe weights"),
    "signal": ("os.kill(os.getpid(), signal.SIGSEGV)", "was terminated by SIGSEGV after 2 of 6"),
    "traceback": ("1 / 0", "ended with status 1 after 2 of 6.*ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_what_a_program_drew_before_it_failed_is_kept(shard, failure):
    body, said = FAILURES[failure]
    with pytest.raises(InputError, match=f"(?s)models: mine: its command {said}"):
        shard.draw(f"for prompt in prompts[:2]: draw(prompt)\n{body}\n")
    assert shard.missing == [2, 3, 4, 5]
    shard.draw(ALL)
    assert shard.missing == []


HALF = "(output / (prompts[2]['prompt_id'] + '.png')).write_bytes(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(99))\n"
FAULTS = {
    "missing": ("for prompt in prompts[2:]: draw(prompt)", r"status 0, but 2 of 6 images are missing.*: 0{12}, 0{11}1\."),
    "extra": (ALL + "draw(prompts[0], name='0')", r"unexpected images: 0\.png\. Each must be named <prompt_id>"),
    "size": ("for prompt in prompts: draw(prompt, size=(8, 8))", r"its command wrote 0+\.png with 8 x 8 .* asks for 16 x 8"),
    "half": (ALL.replace("prompts:", "prompts[:2]:") + HALF, "wrote a damaged image"),
    "removed": ("import shutil; shutil.rmtree(output)", r"its command removed \{output\}"),
    "again": (ALL + "time.sleep(1)\n" + ALL + "time.sleep(1)", "rewrote images that were already complete"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_images_that_are_not_as_agreed_are_named(shard, fault):
    body, said = FAULTS[fault]
    with pytest.raises(InputError, match=f"(?s){said}"):
        shard.draw(body)


def test_half_an_image_is_not_taken_while_it_is_written(shard):
    """A program that writes in place, slowly: the rest of the file comes later."""
    slowly = """
for prompt in prompts:
    draw(prompt, name=".whole")
    data = (output / ".whole.png").read_bytes()
    with open(output / (prompt["prompt_id"] + ".png"), "wb", buffering=0) as file:
        for part in (data[:40], data[40:60], data[60:]):
            file.write(part)
            time.sleep(0.1)
"""
    shard.draw(slowly)
    assert shard.missing == []


def test_images_are_taken_while_the_program_goes_on(shard):
    """The program waits until its first image has been taken; if that never happened it would give up."""
    waits = """
draw(prompts[0])
deadline = time.monotonic() + 30
while (output / (prompts[0]["prompt_id"] + ".png")).exists():
    assert time.monotonic() < deadline
    time.sleep(0.01)
for prompt in prompts[1:]: draw(prompt)
"""
    shard.draw(waits)
    assert shard.missing == []


def test_what_it_says_is_in_the_log_without_the_steps_of_its_progress_bars(shard, caplog):
    caplog.set_level(logging.INFO)
    shard.draw(
        "print('loaded')\nprint('10 %', end='\\r')\nprint('100 %')\nprint('é', file=sys.stderr)\n"
        + "sys.stdout.buffer.write(b'\\xff\\n')\n"
        + ALL
    )
    lines = [record.message for record in caplog.records if record.message.startswith("| ")]
    assert set(lines) == {"| loaded", "| 100 %", "| é", "| \N{REPLACEMENT CHARACTER}"}


# -- stopping --------------------------------------------------------------------------------------------------------

DAWDLES = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
signal.signal(signal.SIGTERM, lambda *_: (draw(prompts[3]), sys.exit(0)))
for prompt in prompts[:2]: draw(prompt)
Path({pids!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
time.sleep(600)
"""
STUBBORN = DAWDLES.replace("lambda *_: (draw(prompts[3]), sys.exit(0))", "signal.SIG_IGN")


def dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(("body", "kept"), [(DAWDLES, [2, 4, 5]), (STUBBORN, [2, 3, 4, 5])], ids=["asked", "killed"])
def test_when_the_job_must_end_so_must_the_program_and_its_children(shard, monkeypatch, body, kept):
    """It is asked first: what it draws on being asked is kept too."""
    monkeypatch.setattr(programs, "GRACE", 1.0)
    pids = shard.folder / "pids"

    def watch():
        if pids.exists() and shard.missing == [2, 3, 4, 5]:
            raise Stopped("walltime: 20 s are left")

    with pytest.raises(Stopped, match="walltime"):
        shard.draw(body.format(pids=str(pids)), watch)
    assert shard.missing == kept
    deadline = time.monotonic() + 10
    while not all(dead(int(pid)) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline, "something of the program lives on"
        time.sleep(0.02)


def test_a_signal_to_the_job_ends_the_program(shard):
    pids = shard.folder / "pids"

    def send():
        while not pids.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with stoppable() as stopping, pytest.raises(Stopped, match="SIGTERM"):
        threading.Thread(target=send).start()
        shard.draw(DAWDLES.format(pids=str(pids)), stopping.check)
    assert all(dead(int(pid)) for pid in pids.read_text().split()[:1])


JOB = """
import sys
from pathlib import Path
from test_command import DAWDLES, PROGRAM, Shard

folder = Path(sys.argv[1])
Shard(folder).draw(DAWDLES.format(pids=str(folder / "pids")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program that its parent died")
def test_a_program_does_not_outlive_a_job_that_is_killed(tmp_path):
    folders = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests", "tests/generation"))
    changes = {"PYTHONPATH": folders, "TMPDIR": str(tmp_path)}
    job = subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path)], env=os.environ | changes)
    while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text():
        assert job.poll() is None
        time.sleep(0.02)
    job.kill()
    job.wait()
    program, child = map(int, (tmp_path / "pids").read_text().split())
    deadline = time.monotonic() + 20
    try:
        while not dead(program):
            assert time.monotonic() < deadline, "the program lives on"
            time.sleep(0.02)
    finally:
        os.kill(child, signal.SIGKILL)


# -- looking over ----------------------------------------------------------------------------------------------------


def test_files_of_the_command_and_those_named_decide_whether_it_is_still_the_same(tmp_path):
    (tmp_path / "weights/deep").mkdir(parents=True)
    for name in ("draw.py", "weights/a.bin", "weights/deep/b.bin", "config.json"):
        (tmp_path / name).write_text(name)
    model = {
        "name": "mine",
        "generator": "command",
        "command": [sys.executable, "./draw.py", "{prompts}", "{output}"],
        "files": ["./weights", "./config.json"],
    }
    tried = experiment(tmp_path, models=[model])
    found = check_model(tried, "mine", [])
    assert len(found["files"]["command"]) == 4
    assert is_unchanged(tried, found, [])
    for name in ("draw.py", "weights/deep/b.bin", "config.json"):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text("other")
        assert not is_unchanged(tried, found, []), name
        (tmp_path / name).write_text(before)
    assert is_unchanged(tried, found, []), "a copy with another time is the same"
    (tmp_path / "weights/new.bin").touch()
    assert not is_unchanged(tried, found, [])


# -- config ----------------------------------------------------------------------------------------------------------

MODEL = {"name": "mine", "generator": "command", "command": ["draw", "{prompts}", "{output}"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"command": "draw {prompts} {output}"}, "models: [0]: command: expected a list, each entry on a line"),
        ({"command": ["draw", "{prompts}"]}, "command: needs {output} among its words"),
        ({"command": ["draw", "{prompt}", "{output}"]}, "{prompt} is none of the placeholders {prompts}, {output}, "),
        (
            {"command": [*MODEL["command"], "{guidance_scale}"]},
            "{guidance_scale} in command needs guidance_scale: each",
        ),
        ({"guidance_scale": "all"}, "models: [0]: guidance_scale"),
        ({"comand": []}, "comand: unknown key; did you mean 'command'?"),
    ],
)
def test_a_wrong_setting_is_named(changes, said):
    with pytest.raises(InputError) as error:
        parse_config(small_config(models=[MODEL | changes]), "c.yaml")
    assert said in str(error.value)


def test_a_command_has_an_arm_for_each_guidance_scale_or_one(tmp_path):
    def arms(**changes):
        return [(arm.model, arm.guidance_scale) for arm in experiment(tmp_path, models=[MODEL | changes]).arms()]

    assert arms() == [("mine", None)]
    assert arms(guidance_scale=5) == [("mine", 5)]
    assert arms(guidance_scale="each") == [("mine", 1), ("mine", 3)]


def test_what_can_change_a_pixel_is_in_the_fingerprint(tmp_path):
    def fingerprint(**changes):
        return experiment(tmp_path, models=[MODEL | changes]).arms()[0].fingerprint

    others = [
        fingerprint(command=[*MODEL["command"], "--fast"]),
        fingerprint(files=["x"]),
        fingerprint(guidance_scale=2),
        experiment(tmp_path, models=[MODEL], seed=1).arms()[0].fingerprint,
        experiment(tmp_path, models=[MODEL], generation={"dtype": "float32", "width": 72}).arms()[0].fingerprint,
    ]
    assert len({fingerprint(), *others}) == 6
    assert fingerprint() == fingerprint(name="other")


# -- the example -----------------------------------------------------------------------------------------------------


def test_the_example_draws_what_the_caption_says(tmp_path):
    captions = [
        "a large red circle in the middle on a white background",
        "one small blue square on the left, the background is black",
    ]
    lines = [
        {"prompt_id": f"p{n}", "caption": caption, "seed": n, "width": 64, "height": 64, "guidance_scale": None}
        for n, caption in enumerate(captions)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    example = [sys.executable, str(ROOT / "demo/draw_shapes.py"), str(tmp_path / "prompts.jsonl"), str(tmp_path)]
    subprocess.run(example, check=True)
    circle, square = (np.asarray(Image.open(tmp_path / f"p{n}.png")).astype(int) for n in range(2))
    assert circle[32, 32].argmax() == 0
    assert circle[2, 2].min() > 200
    blue = (square[..., 2] > 150) & (square[..., 0] < 100)
    assert 100 < blue.sum() < 400
    assert np.argwhere(blue)[:, 1].mean() < 28, "on the left"
