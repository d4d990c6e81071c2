"""Any program as a generator: it receives prompts as JSON Lines and writes one image file each (docs/adding-a-model.md)."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from emudrift.config.arm import Arm
from emudrift.config.experiment import Experiment
from emudrift.config.models import CommandModel
from emudrift.config.paths import REPOSITORY
from emudrift.data.image_io import load_image
from emudrift.data.prompts import Prompt
from emudrift.errors import InputError
from emudrift.generation.interface import GeneratedImage
from emudrift.generation.model_files import are_unchanged, digest_of, hash_files
from emudrift.runtime.devices import visible_devices
from emudrift.runtime.jobs import Stopped
from emudrift.runtime.terminal import duration

logger = logging.getLogger(__name__)

ENDINGS = (".png", ".jpg", ".jpeg")
LOOK = 0.5
"""Seconds between two scans for new images."""
GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""
SILENCE = 300.0
"""Seconds without an image after which the log says that the program is waited for, and again after as long."""
LAST_LINES = 20
"""Lines of the program's output shown in error messages."""

SCRIPT = re.compile(r"[^-{}\s][^{}\s]*\.(py|sh|R|r|jl|js|pl|rb|lua)")
"""A word of a command that names a script, which must exist."""

_LAUNCHER = """
import ctypes, os, sys
parent, words = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM
    if os.getppid() != parent:
        sys.exit("the job is gone")
try:
    os.execvp(words[0], words)
except OSError as error:
    sys.exit(f"{words[0]}: cannot be started: {(error.strerror or str(error)).lower()}")
"""
"""Replaces itself by the program, after asking the kernel to end it if this process is killed; otherwise the program would
keep using the GPU."""


class CommandGenerator:
    """Runs a program once for all missing images of a shard, and collects its images while it is running.

    Args:
        settings: of the arm (`Arm.settings`).
        model: name of the model, for messages.
        folder: working directory of the program.
    """

    def __init__(self, settings: dict[str, Any], model: str, folder: Path = REPOSITORY) -> None:
        self.settings, self.model, self.folder = settings, model, folder
        self.size: tuple[int, int] = (settings["width"], settings["height"])
        self.visible = visible_devices(settings["device"])

    def generate_all(
        self, prompts: Sequence[Prompt], watch: Callable[[], None]
    ) -> Iterator[tuple[Prompt, GeneratedImage]]:
        """Yields each prompt with its image as soon as it is complete, in the order in which the program writes them.

        Args:
            watch: called periodically while the program runs; may raise `Stopped`, which ends the program.

        Raises:
            InputError: the program failed, or images are missing, damaged or unexpected. Complete images are yielded first.
        """
        with tempfile.TemporaryDirectory(prefix="emudrift-command-") as name:
            lines, images = Path(name, "prompts.jsonl"), Path(name, "images")
            images.mkdir()
            lines.write_text("".join(self._line(prompt) for prompt in prompts), encoding="utf-8")
            inbox, silence = _Inbox(images, prompts, self.model, self.size), _Silence(self.model)
            with _running(self._words(lines, images), self.folder, self._environment()) as program:
                stopped = None
                while program.process.poll() is None:
                    try:
                        watch()
                        time.sleep(LOOK)
                    except Stopped as reason:
                        stopped = reason
                        _end(program.process)
                    yield from inbox.take()
                    silence.report(inbox.taken, len(prompts))
                status = program.finish()
                yield from inbox.take(ended=True, well=stopped is None and status == 0)
            if stopped is not None:
                raise stopped
            if status:
                raise InputError(
                    f"models: {self.model}: its command {_how_it_ended(status)} after {inbox.taken:,} of {len(prompts):,} images"
                    f" (they are kept). Its last output:\n{program.said()}"
                )
            inbox.refuse_missing()

    def device(self) -> str:
        return f"GPU {self.visible}, external command" if self.visible else "cpu, external command"

    def _line(self, prompt: Prompt) -> str:
        line = {"prompt_id": prompt.prompt_id, "caption": prompt.caption, "seed": prompt.seed}
        asked = {key: self.settings[key] for key in ("width", "height", "guidance_scale")}
        return json.dumps(line | asked, ensure_ascii=False) + "\n"

    def _words(self, prompts: Path, output: Path) -> list[str]:
        scale = self.settings["guidance_scale"]
        values = {
            "{prompts}": str(prompts),
            "{output}": str(output),
            "{width}": str(self.size[0]),
            "{height}": str(self.size[1]),
            "{guidance_scale}": "" if scale is None else f"{scale:g}",
        }
        words = []
        for word in self.settings["command"]:
            for placeholder, value in values.items():
                word = word.replace(placeholder, value)
            words.append(word)
        return words

    def _environment(self) -> dict[str, str]:
        # Python buffers output to a pipe, so that the last lines of a killed program would be lost.
        return os.environ | {"CUDA_VISIBLE_DEVICES": self.visible, "PYTHONUNBUFFERED": "1"}


class _Silence:
    """Logs how long a program has written no image: it may be loading its model, or hang."""

    def __init__(self, model: str) -> None:
        self.model, self.taken = model, 0
        self.began = self.last_image = self.last_line = time.monotonic()

    def report(self, taken: int, asked: int) -> None:
        now = time.monotonic()
        if taken > self.taken:
            self.taken, self.last_image, self.last_line = taken, now, now
        elif now - self.last_line >= SILENCE:
            self.last_line = now
            logger.warning(
                "models: %s: waiting for its command, which has written no image for %s (%d of %d images, running for %s)",
                self.model,
                duration(now - self.last_image),
                taken,
                asked,
                duration(now - self.began),
            )


class _Inbox:
    """The folder to which a program writes its images."""

    def __init__(self, folder: Path, prompts: Sequence[Prompt], model: str, size: tuple[int, int]) -> None:
        self.folder, self.model, self.size = folder, model, size
        self._waiting = {prompt.prompt_id: prompt for prompt in prompts}
        self._asked = frozenset(self._waiting)
        self._seen: dict[Path, tuple[int, int]] = {}

    @property
    def taken(self) -> int:
        return len(self._asked) - len(self._waiting)

    def take(self, ended: bool = False, well: bool = False) -> Iterator[tuple[Prompt, GeneratedImage]]:
        """Yields the complete images and removes their files.

        Args:
            ended: the program has ended; while it is running, a file counts as complete if it has not changed since the last
                scan.
            well: it ended with status 0, so that every file should be complete.

        Raises:
            InputError: an image is unexpected, was written twice or has another size; or, if `well`, one is damaged.
        """
        if not self.folder.is_dir():
            raise InputError(f"models: {self.model}: its command removed {{output}}, the folder for its images")
        # is_file() skips dangling links.
        paths = [path for path in sorted(self.folder.iterdir()) if path.suffix.lower() in ENDINGS and path.is_file()]
        if well or not ended:  # If the program failed, its own error is more informative.
            self._refuse_others([path for path in paths if not path.name.startswith(".")])
        for path in paths:
            if path.stem not in self._waiting or not (ended or self._is_settled(path)):
                continue
            try:
                image = np.asarray(load_image(path, name=path.name))
            except InputError as error:
                if well:
                    raise InputError(f"models: {self.model}: its command wrote a damaged image: {error}") from error
                continue
            if image.shape[1::-1] != self.size:
                raise InputError(
                    f"models: {self.model}: its command wrote {path.name} with {image.shape[1]} x {image.shape[0]} pixels, "
                    f"but generation asks for {self.size[0]} x {self.size[1]}; use {{width}} and {{height}} in the command, or "
                    "change generation"
                )
            yield self._waiting.pop(path.stem), GeneratedImage(image)
            path.unlink()

    def refuse_missing(self) -> None:
        if self._waiting:
            raise InputError(
                f"models: {self.model}: its command ended with status 0, but {len(self._waiting):,} of {len(self._asked):,} "
                f"images are missing in {{output}}: {_listed(self._waiting)}. Each must be named <prompt_id>.png or .jpg"
            )

    def _refuse_others(self, paths: list[Path]) -> None:
        strangers = [path.name for path in paths if path.stem not in self._asked]
        if strangers:
            raise InputError(
                f"models: {self.model}: its command wrote unexpected images: {_listed(strangers)}. Each must be "
                f"named <prompt_id>.png or .jpg, such as {min(self._asked)}.png"
            )
        again = [path.name for path in paths if path.stem not in self._waiting]
        if again:
            raise InputError(
                f"models: {self.model}: its command rewrote images that were already complete: {_listed(again)}. Write each "
                "once, under another name first, and then rename it"
            )

    def _is_settled(self, path: Path) -> bool:
        """Whether a file has not changed since the last scan."""
        stat = path.stat()
        now = (stat.st_size, stat.st_mtime_ns)
        before, self._seen[path] = self._seen.get(path), now
        return before == now


class _Program:
    """A running program; its output is logged line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True, name="command")
        self._reader.start()

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            text = line.rstrip()
            self._last.append(text)
            if not line.endswith("\r"):  # Skips updates of progress bars.
                logger.info("| %s", text)

    def finish(self) -> int:
        """Waits for its exit status (negative for a signal) and until its output is in the log."""
        status = self.process.wait()
        self._reader.join(GRACE)  # With a timeout, because a child process left behind may keep the pipe open.
        return status

    def said(self) -> str:
        return "\n".join(self._last) or "(nothing)"


@contextmanager
def _running(words: list[str], folder: Path, environment: dict[str, str]) -> Iterator[_Program]:
    """Starts a program in a new process group and ends the whole group when the `with` block ends."""
    logger.info("running %s", words)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.reconfigure(newline="")  # type: ignore[attr-defined]  # Preserves \r at the end of lines.
    try:
        yield _Program(process)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends a program and its children: SIGTERM first, SIGKILL after `GRACE` seconds."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            logger.warning("the command did not end within %g s of SIGTERM; killing it", GRACE)
    _signal(process, signal.SIGKILL)  # Also for children left behind, which would keep using the GPU.
    process.wait()


def _signal(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # The whole group is gone (on macOS: or zombies).
        os.killpg(process.pid, number)


def _how_it_ended(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was terminated by {signal.Signals(-status).name}"


def _listed(names: Any) -> str:
    some = sorted(names)
    return ", ".join(some[:10]) + (f" and {len(some) - 10:,} more" if len(some) > 10 else "")


# -- validation ------------------------------------------------------------------------------------------------------


def command_files(words: Sequence[str], files: Sequence[Path], folder: Path = REPOSITORY) -> dict[str, Path]:
    """The files of a command: its arguments that are files, and `files`, with folders expanded recursively.

    Raises:
        InputError: one of `files` is missing.
    """
    found = {}
    for path in [Path(folder, word) for word in words[1:] if os.path.isfile(folder / word)] + list(files):
        if not path.exists():
            raise InputError(f"models: files: no such file or folder: {path}")
        inside = [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]
        for each in inside:
            name = each.relative_to(folder) if each.is_relative_to(folder) else each
            if "__pycache__" not in each.parts:
                found[name.as_posix()] = each
    return found


def check_command(words: Sequence[str], files: Sequence[Path], folder: Path = REPOSITORY) -> dict[str, Any]:
    """Finds the program and hashes its files, without running it. Raises InputError if one is missing."""
    program = words[0]
    if shutil.which(program if os.sep not in program else str(folder / program)) is None:
        raise InputError(f"models: command: {program!r} is not an executable program; give its path, or fix PATH")
    for word in words[1:]:
        if SCRIPT.fullmatch(word) and not (folder / word).is_file():
            raise InputError(
                f"models: command: there is no script {folder / word}; paths are relative to the repository"
            )
    hashed = hash_files(command_files(words, files, folder))
    return {"digest": digest_of(hashed), "files": {"command": hashed}, "revisions": {}}


# --- as an entry of the registry ---


def check_model(experiment: Experiment, model: CommandModel, prompts: Sequence[Prompt]) -> dict[str, Any]:
    return check_command(model.words(experiment), [experiment.path(file) for file in model.files], experiment.project)


def model_is_unchanged(experiment: Experiment, model: CommandModel, files: dict[str, Any]) -> bool:
    files_now = [experiment.path(file) for file in model.files]
    now = command_files(model.words(experiment), files_now, experiment.project)
    return are_unchanged(files["command"], now)


def load_model(experiment: Experiment, model: CommandModel, arm: Arm) -> CommandGenerator:
    return CommandGenerator(arm.settings, model.name, experiment.project)
