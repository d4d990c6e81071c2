"""Lines through published curves: a synthetic truth, the figures of the published study, and errors of one line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from emudrift.errors import InputError
from emudrift.report.figures.published_curves import about_differences, draw_curves, fit_curves, load_curves

PUBLISHED = ROOT.parent / "shared" / "data" / "published" / "emu3_coco_fid_curves.csv"
SIZES = np.arange(1000, 10_001, 1000)


def table() -> pd.DataFrame:
    """Two models whose curves end at 10 times the guidance scale, and 5 above it; bent below N = 5,000."""
    rows = [
        (model, scale, n, 10 * scale + above + 40_000 * scale / n + (3 if n < 5000 else 0))
        for model, above in (("null", 0), ("007", 5))
        for scale in (3.0, 1.0)
        for n in SIZES[::-1]
    ]
    return pd.DataFrame(rows, columns=["model", "guidance_scale", "n_images", "fid"])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    table().assign(note="ignored").to_csv(tmp_path / "curves.csv", index=False)
    return tmp_path / "curves.csv"


def fit_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "fit_curves.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_lines_of_known_ends_are_found_whatever_bends_below(written: Path) -> None:
    curves = fit_curves(load_curves(written), 5000)
    assert [(c.model, c.guidance_scale) for c in curves] == [("null", 1), ("null", 3), ("007", 1), ("007", 3)]
    assert [c.fid_infinity for c in curves] == pytest.approx([10, 30, 15, 35])
    assert [c.fid_infinity_later for c in curves] == pytest.approx([10, 30, 15, 35])
    assert [c.slope for c in curves] == pytest.approx([40_000, 120_000] * 2)
    assert [c.residual for c in curves] == pytest.approx([0] * 4, abs=1e-9)
    assert {c.fitted for c in curves} == {6}
    bent = fit_curves(load_curves(written), 1000)
    assert bent[0].slope > 41_000
    assert bent[0].residual > 0.5
    assert bent[0].fid_infinity_later == pytest.approx(10)


def test_the_line_is_the_one_of_least_squares() -> None:
    noisy = table()
    noisy["fid"] += np.random.default_rng(0).standard_normal(len(noisy))
    first = noisy[(noisy["model"] == "null") & (noisy["guidance_scale"] == 1) & (noisy["n_images"] >= 5000)]
    slope, end = np.polyfit(1 / first["n_images"], first["fid"], 1)
    curve = fit_curves(noisy, 5000)[0]
    assert (curve.fid_infinity, curve.slope) == pytest.approx((end, slope))
    shuffled = noisy.sample(frac=1, random_state=1)
    by_name = {(c.model, c.guidance_scale): c.fid_infinity for c in fit_curves(shuffled, 5000)}
    assert by_name[("null", 1.0)] == pytest.approx(end)


def test_the_script_prints_pure_csv_and_says_on_stderr_what_it_cannot_tell(written: Path) -> None:
    result = fit_script(written, "--min-n", 5000, "--format", "csv")
    assert result.returncode == 0
    assert result.stdout == "model,guidance_scale,fid_infinity\nnull,1,10\nnull,3,30\n007,1,15\n007,3,35\n"
    assert "whether two models differ" in result.stderr
    words = fit_script(written)
    assert "whether two models differ" in words.stdout
    assert words.stderr == ""


def test_figures_are_drawn_by_suffix_and_equal_curves_give_equal_bytes(written: Path, tmp_path: Path) -> None:
    assert fit_script(written, "--figure", tmp_path / "a.svg").returncode == 0
    curves = fit_curves(load_curves(written), 5000)
    for name in ("b.svg", "a.png", "b.png", "a.pdf", "b.pdf"):
        draw_curves(curves, tmp_path / name, 5000)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    with pytest.raises(InputError, match=r"suffix must be \.svg, \.pdf or \.png"):
        draw_curves(curves, tmp_path / "a.jpg", 5000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("", "not a CSV table"),
        ("model,guidance_scale,fid\na,1,2\n", "has no column n_images"),
        ("model,guidance_scale,n_images,fid\n", "no rows"),
        ("model,guidance_scale,n_images,fid\na,1,5000,9\na,1,6000,8\n", "2 points with N >= 5,000.*needs 3"),
        ("model,guidance_scale,n_images,fid\na,1,5000,9\na,1,x,8\n", "line 3: n_images is 'x'; expected a number"),
        ("model,guidance_scale,n_images,fid\na,1,5000,nan\n", "line 2: fid is 'nan'"),
        ("model,guidance_scale,n_images,fid\na,1,0,3\n", "line 2: n_images is '0'; .* at least 2"),
        (
            "model,guidance_scale,n_images,fid\na,1,5000,9\na,1.0,5e3,8\n",
            "line 3: a, guidance 1, N = 5,000 appears twice",
        ),
    ],
)
def test_wrong_input_ends_with_one_clear_line(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "curves.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        fit_curves(load_curves(path), 5000)
    if message in ("no such file", "no rows"):
        result = fit_script(path, "--format", "csv")
        assert (result.returncode, result.stdout) == (1, "")
        assert len(result.stderr.splitlines()) == 1
        assert "error: " in result.stderr


def test_differences_are_said_at_each_scale_with_where_their_sign_is_another_one() -> None:
    (said,) = about_differences(fit_curves(table(), 5000))
    assert said == (
        "Difference of 007 from null, plain FIDs, above 0 is worse: +5.00 at guidance 1 (N = 10,000; intercepts +5.00); +5.00 "
        "at guidance 3 (N = 10,000; intercepts +5.00)."
    )
    flipped = table()
    flipped.loc[(flipped["model"] == "007") & (flipped["guidance_scale"] == 3), "fid"] -= 12
    flipped.loc[(flipped["model"] == "007") & (flipped["n_images"] == 1000), "fid"] += 12
    said, flips = about_differences(fit_curves(flipped, 5000))
    assert "−7.00 at guidance 3 (N = 10,000; intercepts −7.00; the other sign at N = 1,000)" in said
    assert flips.startswith("The sign depends on the guidance scale, so no single sentence holds for 007.")
    assert about_differences(fit_curves(table()[table()["model"] == "null"], 5000)) == []


def test_the_published_study_ends_where_its_curves_say() -> None:
    if not PUBLISHED.is_file():
        pytest.skip(f"REAL DATA NOT TESTED: {PUBLISHED} is absent; put the published curves there")
    said, flips = about_differences(fit_curves(load_curves(PUBLISHED), 5000))
    assert (
        "+4.56 at guidance 1 (N = 10,000; intercepts +4.49); −1.36 at guidance 3 (N = 10,000; intercepts −1.97" in said
    )
    assert "Whether guidance is the reason cannot be concluded" in flips
    ends = {(c.model, c.guidance_scale): round(c.fid_infinity, 1) for c in fit_curves(load_curves(PUBLISHED), 5000)}
    assert ends == {
        ("base", 1): 37.2,
        ("finetuned", 1): 41.7,
        ("base", 3): 30.7,
        ("finetuned", 3): 28.7,
        ("base", 5): 31.7,
        ("finetuned", 5): 28.4,
    }
