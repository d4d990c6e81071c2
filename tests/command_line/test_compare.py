"""`emudrift compare`: from folders of images to the verdict, in one process; what a user gets wrong is one line."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stub_extractor
from PIL import Image

from emudrift.command_line import in_process
from emudrift.command_line.comparison import compare
from emudrift.command_line.main import main
from emudrift.config.experiment import Experiment
from emudrift.config.extractors import Inception
from emudrift.evaluation.fid.arrays import compare_arrays

PAIRS, REAL = 40, 44


def write_images(folder: Path, number: int, seed: int, shade: float = 0, ending: str = ".png") -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(number):
        noise = rng.integers(0, 256, (6, 6, 3)) * (1 - shade)
        Image.fromarray(noise.astype(np.uint8)).save(folder / f"im {i:03d}{ending}")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """base, tuned (darker) and real, which has other names; captions of all pairs."""
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "base", PAIRS, 1)
    write_images(folder / "tuned", PAIRS, 2, 0.5, ".bmp")
    for path in write_images(folder / "real", REAL, 3).iterdir():
        path.rename(path.with_name(f"photo-{path.name[3:]}"))
    lines = [f"im {i:03d}.jpg,a picture of {i}" for i in range(PAIRS)]
    (folder / "captions.csv").write_text("\n".join(["file_name,caption", *lines]) + "\n")
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setattr(Inception, "loader", "stub_extractor:load")
    monkeypatch.setitem(sys.modules, "stub_extractor", stub_extractor)


@pytest.fixture
def without_page(monkeypatch):
    """Figures and page take longer than all else, and tables and JSON do not need them."""
    for name in ("write_figures", "write_gallery_block", "write_page"):
        monkeypatch.setattr(in_process, name, lambda *given: None)


def run(capsys, folder: Path, *words: object) -> str:
    main(["compare", *map(str, words), "--extractor", "inception-random", "--dims", "64", "--output", str(folder)])
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def compared(images, tmp_path_factory) -> tuple[Path, dict]:
    """Run once; its folder, and what --json prints."""
    folder = tmp_path_factory.mktemp("compared") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Inception, "loader", "stub_extractor:load")
        patched.setitem(sys.modules, "stub_extractor", stub_extractor)
        found = compare(
            images / "base",
            images / "tuned",
            reference=images / "real",
            captions=images / "captions.csv",
            extractor="inception-random",
            dims=64,
            output=folder,
        )
    return folder, found.to_dict()


def test_the_numbers_are_those_of_arrays_without_any_experiment(compared, images):
    """An independent path: features by hand, in the order of the pairs, compared as arrays."""
    folder, found = compared
    experiment = Experiment.load(folder / "config.yaml")
    prompts = pd.read_parquet(experiment.paths.prompts)
    names = dict(pd.read_csv(folder / "tables/base.csv").itertuples(index=False))
    stems = [Path(names[prompt_id]).stem for prompt_id in prompts["prompt_id"]]

    def features(paths):
        return stub_extractor.Means(64).features(map(Image.open, paths), 8)

    expected = compare_arrays(
        features(images / "base" / f"{stem}.png" for stem in stems),
        features(images / "tuned" / f"{stem}.bmp" for stem in stems),
        features(sorted((images / "real").iterdir())),
    )
    row = found["differences"][-1]
    assert (row["n"], row["dims"], row["finding"]) == (PAIRS, 64, "too few images")
    for ours, theirs in {"difference_jackknife": "difference", "low": "low", "high": "high", "p": "p"}.items():
        assert row[ours] == pytest.approx(expected[theirs], rel=1e-9)
    assert [row["fid"] for row in found["fids"] if row["n"] == PAIRS] == pytest.approx([*expected["fid"].values()])


def test_captions_page_and_tables_are_there(compared):
    folder, found = compared
    results = folder / "results/comparison"
    assert json.loads((results / "comparison.json").read_text()) == found
    assert "too few images" in found["verdict"].lower()
    assert "a picture of 7" in (results / "gallery").joinpath("000000-000500.json").read_text()
    assert Path(found["report"]) == results / "report.html"
    assert "a picture of" in (results / "report.html").read_text()


def test_a_second_run_computes_nothing_and_prints_the_answer(compared, images, capsys, monkeypatch):
    folder, _ = compared
    for name in ("record_model", "write_figures", "write_page", "extract_reference_features", "write_prompt_table"):
        monkeypatch.setattr(in_process, name, lambda *given: pytest.fail("was computed again"))
    stub_extractor.Means.calls = 0
    said = run(
        capsys,
        folder,
        images / "base",
        images / "tuned",
        "--reference",
        images / "real",
        "--captions",
        images / "captions.csv",
    )
    assert stub_extractor.Means.calls == 0
    assert f"{PAIRS} images of each model are too few for 64 dimensions: no difference can be claimed below 160" in said
    assert "report.html" in said
    assert "tuned" in said


def test_another_reference_in_the_same_place_is_noticed(compared, images, tmp_path, capsys, without_page):
    folder = shutil.copytree(compared[0], tmp_path / "out")
    real = shutil.copytree(images / "real", tmp_path / "real")
    for number, name in ((REAL, "first"), (REAL - 2, "second")):
        for path in sorted(real.iterdir())[number:]:
            path.unlink()
        said = run(capsys, folder, images / "base", images / "tuned", "--reference", real, "--json")
        assert {row["reference_n"] for row in json.loads(said)["fids"]} == {number}, name


def test_archives_give_the_same_numbers_as_folders(compared, images, tmp_path, capsys, without_page):
    for name in ("base", "real"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for path in (images / name).iterdir():
                archive.write(path, f"some/folder/{path.name}")
    found = json.loads(
        run(
            capsys, tmp_path / "out", tmp_path / "base.zip", f"tuned={images / 'tuned'}",
            "--reference", tmp_path / "real.zip", "--json",
        )
    )  # fmt: skip
    for made, expected in zip(found["differences"], compared[1]["differences"], strict=True):
        assert [made[key] for key in ("difference", "low", "high", "p")] == [
            expected[key] for key in ("difference", "low", "high", "p")
        ]


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(compared, images, tmp_path, capsys, monkeypatch, without_page):
    """Killed in every step that takes time; what remains of it is what a kill leaves."""
    folder = tmp_path / "out"
    words = (images / "base", images / "tuned", "--reference", images / "real", "--captions", images / "captions.csv")
    for step in ("run_shard", "extract_reference_features", "extract_features", "write_fids", "write_page"):
        with monkeypatch.context() as patched:
            patched.setattr(in_process, step, killed_after(getattr(in_process, step)))
            with pytest.raises(SystemExit, match="^137$"):
                run(capsys, folder, *words)
    run(capsys, folder, *words)
    for name in ("fid.csv", "comparison.csv"):
        made, whole = (each / "results/comparison" / name for each in (folder, compared[0]))
        assert made.read_bytes() == whole.read_bytes()


def killed_after(step):
    """The step does its first piece of work, and then the process ends."""

    def first(*given):
        step(*given)
        sys.exit(137)

    return first


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ("empty", ["base", "empty", "--reference", "real"], "empty: contains no images; expected files that end in .jpg"),
        ("", ["base", "absent", "--reference", "real"], "absent: there is no such folder or archive of images"),
        ("", ["base", "tuned", "--reference", "absent"], "absent: --reference: there is no such file or folder"),
        ("", ["base", "--reference", "real"], "give at least two folders of images, the baseline first"),
        ("", ["base", "real", "--reference", "real"], "only 0 of 40 images of base have a partner of the same name"),
        ("few", ["few", "base", "--reference", "real", "--pair", "order"], "found few 12, base 40"),
        ("few", ["few", "base", "--reference", "real", "--pair", "none"], "there are 12 pairs of images; at least 20"),
        ("broken", ["base", "broken", "--reference", "real"], "im 003.bmp is not an image, or only the beginning of one"),
        ("", ["base", "base", "--reference", "real"], "two of the folders would be called"),
        ("captions", ["base", "tuned", "--reference", "real", "--captions", "captions.csv"], "no caption for 1 of 40 images"),
        ("", ["base", "tuned", "--reference", "real", "--margin", "-1"], "--margin -1: expected a difference of FID above 0"),
        ("output", ["base", "tuned", "--reference", "real"], "has other files and is no project of emudrift"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(change, words, said, images, tmp_path, monkeypatch, capsys):
    shutil.copytree(images, tmp_path / "images")
    monkeypatch.chdir(tmp_path / "images")
    if change == "empty":
        Path("empty").mkdir()
    elif change == "few":
        write_images(Path("few"), 12, 5)
    elif change == "broken":
        shutil.copytree("tuned", "broken")
        Path("broken/im 003.bmp").write_bytes(b"BMno")
    elif change == "captions":
        Path("captions.csv").write_text(Path("captions.csv").read_text().replace("im 005.jpg", "im 999.jpg"))
    elif change == "output":
        (tmp_path / "out").mkdir()
        (tmp_path / "out/thesis.tex").touch()
    with pytest.raises(SystemExit, match="^1$"):
        run(capsys, tmp_path / "out", *words)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error


def test_folders_whose_names_differ_are_paired_in_order_or_not_at_all(images, tmp_path, capsys, without_page):
    others = shutil.copytree(images / "tuned", tmp_path / "others")
    for i, path in enumerate(sorted(others.iterdir())):
        path.rename(path.with_name(f"x{i:03d}.bmp"))
    found = {}
    for how in ("order", "none"):
        words = (images / "base", others, "--reference", images / "real", "--pair", how, "--json")
        found[how] = json.loads(run(capsys, tmp_path / how, *words))
    notes = {how: {row["note"] for row in each["differences"]} for how, each in found.items()}
    assert notes["order"] == {""} or notes["order"] == {None}
    assert "do not show the same prompts" in str(notes["none"])
    assert found["order"]["differences"][-1]["difference"] == pytest.approx(
        found["none"]["differences"][-1]["difference"]
    )


def test_without_the_published_weights_nothing_is_put_in_their_place(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setattr("emudrift.command_line.inception_weights.WORKFLOW", tmp_path)
    with pytest.raises(SystemExit, match="^1$"):
        main(
            [
                "compare",
                str(images / "base"),
                str(images / "tuned"),
                "--reference",
                str(images / "real"),
                "--output",
                str(tmp_path / "o"),
            ]
        )
    assert "the published Inception weights are not on this machine; --download fetches them" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
