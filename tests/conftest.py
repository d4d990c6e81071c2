"""What tests share: real data where it is present, a copy of the workflow to run in, and a small config."""

import compileall
import fcntl
import functools
import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
COCO = ROOT.parent / "shared" / "data" / "coco"
SLURM = ROOT / "tests" / "slurm"
MINIATURE = ROOT / "demo" / "models"

# Collecting tests imports torch and transformers, in which there is no garbage; pytest_collection_finish ends this.
gc.disable()

# Two threads on two busy cores wait for each other: one is several times faster. And nothing may reach for a network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
# Where code of test checkpoints is copied to before it runs; not the user's cache.
MODULES = tempfile.TemporaryDirectory(prefix="emudrift-modules-")
os.environ["HF_MODULES_CACHE"] = MODULES.name

# The files that take longest, in the order in which they are begun.
LONGEST = (
    "test_slurm.py",
    # A test process asks for more work when two tests are left to it: these three are over at once.
    "test_cluster.py",
    "test_workflow.py",
    "test_metrics_workflow.py",
    "test_other_models.py",
    "test_truth.py",
    "test_extending.py",
    "test_human_workflow.py",
    "test_disk_full.py",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WORKFLOW = ("Snakefile", "rules", "scripts", "src", "envs", "config.yaml", "profiles", "slurm", "pyproject.toml")
MADE = ("results", "resources", ".snakemake")


def pytest_configure(config: pytest.Config) -> None:
    """The package's bytecode, made once: hundreds of interpreters import it from copies, and would each compile it again."""
    if hasattr(config, "workerinput"):
        os.environ["EMUDRIFT_FORKED"] = config.workerinput["forked"]
    else:
        for name in ("src", "scripts"):
            compileall.compile_dir(ROOT / name, quiet=2)
        # xdist imports the class of every warning that a test process reports, peft's own among them.
        import emudrift.runtime.torchvision_fix  # noqa: F401


def pytest_collection_finish() -> None:
    """What the tests have imported is no garbage: looking through torch again and again costs as much as some tests."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    if forked.cache_info().currsize and hasattr(forked(), "server"):
        forked().stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the cluster take longest and go first, then whole workflows: no long file is left to the end."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side, those of a file stay together, which share fixtures, and so do those on the cluster.

    The longest of these has a cluster of its own, beside theirs.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if SLURM in (ROOT / file).parents:
                return "slurm, all rules" if "test_every_rule" in nodeid else "slurm"
            return file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def coco() -> Path:
    """Folder with real COCO captions and photographs."""
    if not COCO.is_dir():
        pytest.skip(f"REAL DATA NOT TESTED: {COCO} is absent; put COCO captions and photographs there")
    return COCO


@pytest.fixture(scope="session")
def browser():
    """A real headless Chromium, driven by playwright; EMUDRIFT_REQUIRE_CHROMIUM=1 turns its absence into a failure."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        message = "PAGES NOT TESTED: there is no Chromium; install the package chromium"
        pytest.fail(message) if os.environ.get("EMUDRIFT_REQUIRE_CHROMIUM") == "1" else pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def write_few(folder: Path, number: int = 130) -> None:
    """The demo's first images with their captions: a reference, or a whole dataset, that is soon looked at."""
    (folder / "images").mkdir(parents=True)
    captions = json.loads((ROOT / "demo/data/captions.json").read_text())
    captions["images"] = captions["images"][:number]
    kept = {image["id"] for image in captions["images"]}
    captions["annotations"] = [each for each in captions["annotations"] if each["image_id"] in kept]
    (folder / "captions.json").write_text(json.dumps(captions))
    for image in captions["images"]:
        shutil.copy2(ROOT / "demo/data/images" / image["file_name"], folder / "images")


class Forked:
    """Runs Snakemake, and its jobs, in processes that were forked after their imports (forked.py).

    Args:
        address: of a server that runs already, or is about to.
    """

    def __init__(self, address: str = "") -> None:
        self.address = address
        if not address:
            self.room = tempfile.TemporaryDirectory(prefix="emudrift-forked-")
            self.address = os.path.join(self.room.name, "socket")
            command = [sys.executable, str(ROOT / "tests/forked.py"), self.address]
            self.server = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def snakemake(
        self, folder: Path, arguments: list[str], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """What `python -m snakemake` does and says; all that it says in `stdout`."""
        call = {"folder": str(folder), "arguments": ["snakemake", *arguments], "environment": environment}
        with (
            open(os.devnull) as nothing,
            tempfile.TemporaryFile() as output,
            self._connected() as server,
        ):
            socket.send_fds(server, [b"."], [nothing.fileno(), output.fileno(), output.fileno()])
            server.sendall(json.dumps(call).encode() + b"\n")
            status = int(server.makefile().readline())
            output.seek(0)
            return subprocess.CompletedProcess(arguments, status, output.read().decode())

    def _connected(self) -> socket.socket:
        """The server listens as soon as it has imported everything."""
        give_up = time.monotonic() + 300
        while True:
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.address)
            except (FileNotFoundError, ConnectionRefusedError):
                server.close()
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
            else:
                return server

    def stop(self) -> None:
        self.server.kill()
        self.server.wait()


@functools.cache
def forked() -> Forked:
    """One for all test processes."""
    return Forked(os.environ.get("EMUDRIFT_FORKED", ""))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Test processes run side by side share the server of the process that starts them."""
    node.workerinput["forked"] = forked().address


class Workflow:
    """A copy of the workflow in a folder of its own, so that tests never touch the user's results."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, ""
        folder.mkdir(parents=True)
        for name in WORKFLOW:
            source = ROOT / name
            if source.is_symlink():
                (folder / name).symlink_to(source.readlink())
            elif source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.egg-info"))
            elif source.exists():
                shutil.copy(source, folder / name)
        # Copies, not links: a path's identity, and with it an arm's name, is that of where it really lies.
        for name in ("models", "data"):
            shutil.copytree(ROOT / "demo" / name, folder / "demo" / name)
        write_few(folder / "few")

    def write_config(self, config: dict[str, Any], name: str = "test.yaml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def take_over(self, folder: Path) -> None:
        """What another copy has made, with its times and with what Snakemake remembers of it: nothing has to be run again."""
        for name in MADE:
            shutil.copytree(folder / name, self.folder / name, symlinks=True)

    def snakemake(
        self, *arguments: str, config: Path | str, check: bool = True, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs Snakemake as a user does; its output in `stdout`."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
        arguments = ("--configfile", str(config), "--cores", "2", *arguments)
        result = forked().snakemake(self.folder, list(arguments), dict(environment))
        if check and result.returncode:
            pytest.fail(f"snakemake ended with {result.returncode}:\n{result.stdout[-6000:]}")
        return result

    def planned(self, *arguments: str, config: Path) -> dict[str, list[str]]:
        """Rule to the outputs of its jobs that a dry run plans; `said` is all that it says."""
        plan: dict[str, list[str]] = {}
        rule = ""
        self.said = self.snakemake("--dry-run", *arguments, config=config).stdout
        for line in self.said.splitlines():
            if line.startswith(("rule ", "localrule ")):
                rule = line.split()[1].rstrip(":")
                plan.setdefault(rule, [])
            elif line.strip().startswith("output: ") and rule:
                plan[rule] += line.strip().removeprefix("output: ").split(", ")
        plan.pop("all", None)
        return plan


@pytest.fixture(scope="session")
def new_workflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Workflow]:
    """Makes fresh copies of the workflow."""
    return lambda name="workflow": Workflow(tmp_path_factory.mktemp(name) / "emudrift")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that all test processes share: the first that needs it makes it, the others wait for that."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                made.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def finished(made_once, new_workflow) -> Workflow:
    """The smallest experiment, run to its end on this machine; each test process has a copy of its own."""

    def run(folder: Path) -> None:
        workflow = Workflow(folder)
        workflow.snakemake("--quiet", "rules", config=workflow.write_config(small_config()))

    workflow = new_workflow("finished")
    workflow.take_over(made_once("finished-experiment", run))
    workflow.config = workflow.write_config(small_config())
    workflow.results = workflow.folder / "results" / "small"
    return workflow


def arm_name(workflow: Workflow, prefix: str) -> str:
    """Full name, with its fingerprint, of a finished arm."""
    (found,) = (workflow.results / "images").glob(f"{prefix}-*")
    return found.name


def archives(results: Path) -> dict[str, bytes]:
    """Every archive of an experiment, by its path inside it."""
    return {str(path.relative_to(results)): path.read_bytes() for path in sorted(results.glob("images/*/*.tar"))}


def small_config(**changes: Any) -> dict[str, Any]:
    """The miniature at its smallest: two models, two guidance scales, twenty images."""
    config: dict[str, Any] = {
        "name": "small",
        "note": "test",
        "prompts": {"captions": "demo/data/captions.json", "images": "demo/data/images"},
        "models": [
            {"name": "base", "generator": "emu3", "checkpoint": {"path": "demo/models/base"}},
            {
                "name": "finetuned",
                "generator": "emu3",
                "checkpoint": {"path": "demo/models/base"},
                "adapter": {"path": "demo/models/finetuned"},
            },
        ],
        "guidance_scales": [1, 3],
        "generation": {"width": 64, "height": 64, "dtype": "float32", "suffix": "", "negative_prompt": ""},
        "sample_sizes": [10, 20],
        "shard_size": 10,
        "extractors": [{"name": "inception-random", "dims": 64, "preprocessing": {"crop": "none", "size": None}}],
        "ladder": False,
        "reference": {"images": "few/images"},
        "device": "cpu",
        "resources": {"generation_batch_size": 8, "feature_batch_size": 4},
    }
    return config | changes


@pytest.fixture
def copies(tmp_path) -> tuple[Path, Path]:
    return shutil.copytree(MINIATURE / "base", tmp_path / "base"), shutil.copytree(
        MINIATURE / "finetuned", tmp_path / "adapter"
    )


def experiment(folder: Path, **changes: Any) -> Any:
    """The smallest experiment, with these changes, read from a config file in a folder."""
    from emudrift.config.experiment import Experiment

    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(small_config(**changes)))
    return Experiment.load(path)
