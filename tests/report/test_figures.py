"""The figures and the image grid: the same bytes for the same data, and what they must show."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from records import RANDOM, record, study

from emudrift.config.arm import Arm
from emudrift.errors import InputError
from emudrift.evaluation.fid.comparison import compare, fid_table
from emudrift.report.elements.blocks import inline_svg
from emudrift.report.figures.captions import comparison_caption, fid_caption, panels_of
from emudrift.report.figures.differences import comparison_figure
from emudrift.report.figures.fid_curve import fid_curve
from emudrift.report.figures.image_grid import image_grid
from emudrift.report.figures.ladder import COLOURS as LADDER_COLOURS
from emudrift.report.figures.style import FLOOR_COLOUR, FORMATS, MODEL_COLOURS, spread_apart
from emudrift.report.gallery.grid_rows import GridRow, matrix_of, side_by_side

RECORDS = study((1.0, 3.0), (100, 400), (3.0, -6.0), extractor=RANDOM, weights="random")


def text_of(svg: Path) -> str:
    """What an SVG says: matplotlib draws letters as paths and writes the text beside them as comments."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", svg.read_text(), re.DOTALL))


def draw(folder: Path, records: list) -> list[Path]:
    fid_curve(fid_table(records), folder / "fid")
    comparison_figure(compare(records, "base"), folder / "difference")
    return [folder / f"{name}{ending}" for name in ("fid", "difference") for ending in (*FORMATS, "-data.csv")]


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/report"]
from test_figures import RECORDS, draw
draw(Path(sys.argv[2]), RECORDS)
"""


def test_figures_are_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    ours = draw(tmp_path / "a", RECORDS)
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[1]), str(tmp_path / "b")]
    subprocess.run(command, check=True, env=environment, timeout=120)
    for path in ours:
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes(), path.name
    # Another result gives another picture, so equal bytes mean something.
    fid_curve(fid_table(RECORDS[:-1]), tmp_path / "c")
    for path in ours[:4]:
        assert (tmp_path / path.name.replace("fid", "c")).read_bytes() != path.read_bytes()


def test_the_curve_names_arms_n_and_random_weights(tmp_path: Path) -> None:
    svg = draw(tmp_path, RECORDS)[0]
    text = text_of(svg)
    for word in (
        "guidance 1",
        "guidance 3",
        "base",
        "finetuned",
        "inception-random, 64 dimensions",
        "∞",
    ):
        assert word in text, word
    assert "0a1b2c3d4e5f" not in text, "no hashes"
    assert "random weights: not meaningful outside this experiment" in text
    published = study((1.0,), (400, 800), (3.0,))
    fid_curve(fid_table(published), tmp_path / "p")
    assert "random" not in text_of(tmp_path / "p.svg")


def test_the_curve_is_one_print_column_wide_with_letters_of_7_points_or_more(tmp_path: Path) -> None:
    svg, _, png = draw(tmp_path, RECORDS)[:3]
    assert 'width="252pt"' in svg.read_text()
    with Image.open(png) as image:
        assert image.width == 1400
    # Letters are paths, scaled to a hundredth of their size in points: none is under 7 points.
    sizes = [float(scale) * 100 for scale in re.findall(r"scale\(([\d.]+) -[\d.]+\)", svg.read_text())]
    assert len(sizes) > 10
    assert min(sizes) >= 7


def panels_drawn(records: list, path: Path, **options) -> list:
    """The axes that fid_curve draws."""
    import matplotlib.figure

    seen = []
    original = matplotlib.figure.Figure.savefig

    def spy(figure, *arguments, **changes):
        seen.append(figure)
        return original(figure, *arguments, **changes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matplotlib.figure.Figure, "savefig", spy)
        fid_curve(fid_table(records), path, **options)
    return [axes for axes in seen[0].subfigs[0].axes if axes.get_visible()]


def test_each_guidance_scale_has_a_panel_whose_axis_shows_what_is_compared(tmp_path: Path) -> None:
    """Corrected values lie apart by 2, plain ones of small N are up to 100 above: the axis is not theirs."""
    records = [
        record(model, scale, n, 30 + 10 * scale + drift, bias=40000 / n, error=0.3)
        for scale in (1.0, 3.0)
        for model, drift in (("base", 0.0), ("finetuned", 2.0))
        for n in (400, 1000, 4000)
    ]
    panels = panels_drawn(records, tmp_path / "f")
    assert len(panels) == 2
    table = fid_table(records)
    for axes, scale in zip(panels, (1.0, 3.0), strict=True):
        ours = table[table["guidance_scale"] == scale]
        low, high = axes.get_ylim()
        assert low < ours["low"].min() < ours["high"].max() < high
        assert (high - low) / 6 < 2, "the difference takes a good part of the height"
        points = sorted(
            float(line.get_ydata()[0])
            for line in axes.lines
            if line.get_marker() in "os" and len(line.get_ydata()) == 1
        )
        assert points == pytest.approx(sorted([*ours["fid_jackknife"], *ours.loc[ours["n"] == 4000, "fid_infinity"]]))
    assert "↑ plain: 142 at N = 400" in text_of(tmp_path / "f.svg")


def test_on_the_axis_of_1_over_n_infinity_is_0(tmp_path: Path) -> None:
    records = [record("base", 3.0, n, 30, bias=4000 / n) for n in (400, 1000, 4000)]
    (axes,) = panels_drawn(records, tmp_path / "f", inverse_n=True)
    ticks = dict(zip([text.get_text() for text in axes.get_xticklabels()], axes.get_xticks(), strict=True))
    assert ticks["∞"] == 0
    assert ticks["1/400"] == pytest.approx(1 / 400)
    left, right = axes.get_xlim()
    assert left > right, "N grows to the right"


def test_every_line_can_be_seen_on_white() -> None:
    """Contrast of at least 3 : 1 (WCAG 2.1, 1.4.11, relative luminance)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    grey = "#" + f"{round(float(FLOOR_COLOUR) * 255):02x}" * 3
    colours = [*MODEL_COLOURS, *(c for c in LADDER_COLOURS.values() if c.startswith("#")), grey]
    for colour in colours:
        assert 1.05 / (luminance(colour) + 0.05) >= 3, colour
    assert len(set(MODEL_COLOURS)) == len(MODEL_COLOURS)


def test_labels_are_spread_apart_and_stay_near() -> None:
    assert spread_apart([1.0, 5.0], 1.0, 0.0, 10.0) == [1.0, 5.0]
    found = spread_apart([3.0, 3.1, 3.0], 1.0, 0.0, 10.0)
    assert sorted(found) == pytest.approx([found[0], found[0] + 1, found[0] + 2])
    assert spread_apart([9.9, 9.8], 1.0, 0.0, 10.0) == pytest.approx([10.0, 9.0])
    # More labels than there is room for: nearer to each other, none outside.
    crowded = spread_apart([5.0] * 30, 1.0, 0.0, 10.0)
    assert min(crowded) >= -1e-9
    assert max(crowded) <= 10 + 1e-9


def test_the_page_shows_values_where_one_points(tmp_path: Path) -> None:
    draw(tmp_path, RECORDS)
    svg = (tmp_path / "fid.svg").read_bytes()
    page = inline_svg(svg, "fid", "a <figure>", ["random weights: not meaningful outside this experiment"])
    row = fid_table(RECORDS).iloc[-1]
    assert re.search(rf"<title>{row['model']}, N = 400: [^<]* plain [\d.]+</title>", page)
    assert 'id="tip' not in page
    assert page.count('class="label"') == 1
    assert 'aria-label="a &lt;figure&gt;"' in page
    # Ids of two figures in one page differ, and every reference finds its own.
    ids = set(re.findall(r' id="([^"]*)"', page))
    assert all(name.startswith("fid-") for name in ids)
    assert set(re.findall(r'href="#([^"]*)"', page)) | set(re.findall(r"url\(#([^)]*)\)", page)) <= ids


def test_the_data_behind_a_figure_lie_beside_it(tmp_path: Path) -> None:
    draw(tmp_path, RECORDS)
    drawn, behind = fid_table(RECORDS), pd.read_csv(tmp_path / "fid-data.csv")
    assert behind["fid"].tolist() == pytest.approx(drawn["fid"].tolist())
    behind = pd.read_csv(tmp_path / "difference-data.csv")
    table = compare(RECORDS, "base")
    # The figure shows the largest N alone.
    assert behind["n"].unique().tolist() == [400]
    assert behind["difference_infinity"].tolist() == pytest.approx(
        table[table["n"] == 400]["difference_infinity"].tolist()
    )


def test_both_selections_of_the_reference_have_panels_of_their_own(tmp_path: Path) -> None:
    same = [
        r.model_copy(update={"reference": r.reference.model_copy(update={"selection": "same", "n": r.n})})
        for r in RECORDS
    ]
    table = pd.concat([fid_table(RECORDS), fid_table(same)])
    name = "inception-random, 64 dimensions"
    assert [title for title, _ in panels_of(table)] == [
        f"{name}, reference: {which} images" for which in ("all", "same")
    ]
    assert [len(part) for _, part in panels_of(table)] == [len(RECORDS)] * 2
    assert [title for title, _ in panels_of(fid_table(RECORDS))] == [name]


def test_names_that_differ_at_their_end_are_told_apart(tmp_path: Path) -> None:
    names = ["base", *(f"a-model-with-a-rather-long-name-{i}" for i in range(3))]
    svgs = [path for path in draw(tmp_path, [record(name, 3.0) for name in names]) if path.suffix == ".svg"]
    for svg in svgs:
        found = {line.strip() for line in text_of(svg).split("\n") if line.strip().startswith("a-")}
        assert len(found) == 3


def test_a_floor_is_dotted_and_said_to_be_one(tmp_path: Path) -> None:
    records = [*RECORDS, record("floor", None, 100), record("floor", None, 400)]
    fid_curve(fid_table(records), tmp_path / "f", floors=["floor"])
    assert "floor (floor)" in text_of(tmp_path / "f.svg")
    like = {"error": 0.1, "extractor": RANDOM, "weights": "random"}
    below = [*RECORDS, record("floor", None, 100, 1.0, **like), record("floor", None, 400, 1.0, **like)]
    fid_curve(fid_table(below), tmp_path / "b", floors=["floor"])
    assert "↓ floor (floor): 1.00" in text_of(tmp_path / "b.svg"), "beyond the axis, which shows what is compared"
    assert "Dotted: floor, the real images encoded and decoded by the model's VQ" in fid_caption(
        fid_table(records), ["floor"]
    )
    fid_curve(fid_table(records), tmp_path / "g")
    assert (tmp_path / "f.svg").read_bytes() != (tmp_path / "g.svg").read_bytes()


def test_intervals_of_several_valid_n_are_a_band(tmp_path: Path) -> None:
    table = fid_table(study((1.0, 3.0), (100, 400, 800, 1600), (3.0, -6.0)))
    fid_curve(table, tmp_path / "with")
    fid_curve(table.assign(reliable=table["n"] == 1600), tmp_path / "without")
    bands = [len(re.findall(r"FillBetweenPolyCollection|PolyCollection_\d", (tmp_path / f"{name}.svg").read_text()))
             for name in ("with", "without")]  # fmt: skip
    assert bands[0] - bands[1] == 4
    assert "at the largest N alone" not in fid_caption(table)
    assert "at the largest N alone" in fid_caption(table[table["n"].isin([100, 400])])


def test_captions_say_whose_the_interval_is() -> None:
    caption = fid_caption(fid_table(RECORDS))
    assert "plain FID" in caption
    assert "bias-corrected FID with 95 % intervals (delete-one-block jackknife, 20 blocks" in caption
    assert "Shaded" in caption
    assert "Shaded" not in fid_caption(fid_table([record()]))
    assert "from base at N = 400" in comparison_caption(compare(RECORDS, "base"))
    assert "thin lines: simultaneous intervals, which hold together for all" in comparison_caption(
        compare(RECORDS, "base")
    )


def test_one_model_one_n_and_no_scale_can_be_drawn(tmp_path: Path) -> None:
    records = [record("base", None)]
    svg = draw(tmp_path, records)[0]
    assert "base" in text_of(svg)
    assert "guidance" not in text_of(svg)
    assert "There is nothing to compare." in text_of(tmp_path / "difference.svg")
    assert comparison_caption(compare(records, "base")) == ""
    with pytest.raises(InputError, match="empty"):
        fid_curve(fid_table([]), tmp_path / "e")


def test_many_models_scales_and_extractors_can_be_drawn(tmp_path: Path) -> None:
    names = ["base", *(f"a-model-with-a-rather-long-name-{i}" for i in range(6)), "closed"]
    scales = (None, 1.0, 3.0)
    records = [
        record(name, scale, n, extractor=extractor)
        for name in names
        for scale in ((None,) if name == "closed" else scales[1:])
        for n in (100, 400)
        for extractor in ("inception-a", "inception-b")
    ]
    svg = draw(tmp_path, records)[0]
    told = [line.strip() for line in text_of(svg).split("\n")]
    assert {"inception-a, 64 dimensions", "inception-b, 64 dimensions"} <= set(told)
    assert told.count("closed") == 4, "compared at both scales, by both extractors"
    with Image.open(tmp_path / "fid.png") as image:
        assert image.width == 1400


# --- image grid ---


def flat(colour: str, size: tuple[int, int] = (32, 32)) -> Image.Image:
    return Image.new("RGB", size, colour)


def colours(png: Path) -> set[tuple[int, int, int]]:
    with Image.open(png) as image:
        return {tuple(pixel) for pixel in np.asarray(image.convert("RGB")).reshape(-1, 3)}


@pytest.mark.parametrize("arms", [1, 12])
def test_the_grid_shows_every_image_whatever_its_shape(tmp_path: Path, arms: int) -> None:
    shades = [(10 * i + 5, 200, 7) for i in range(arms)]
    sizes = [(90, 20), (20, 90), (5, 300)]
    rows = [
        GridRow(
            str(index),
            "caption",
            Image.new("RGB", size, (250, 1, index)),
            [Image.new("RGB", size, shade) for shade in shades],
        )
        for index, size in enumerate(sizes)
    ]
    image_grid([f"model-{i}, guidance 3" for i in range(arms)], rows, tmp_path / "grid")
    seen = colours(tmp_path / "grid.png")
    assert set(shades) <= seen
    assert {(250, 1, index) for index in range(len(sizes))} <= seen


def test_the_grid_takes_any_caption(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    captions = [
        "word " * 300,
        "w" * 2000,
        "日本語の長いキャプションは空白なしで続きます" * 20,
        "no formula: $\\foo{$ or {braces} \\alpha % & # _ ^",
        "مرحبا 👩‍👩‍👧 שלום",
        "",
    ]
    rows = [GridRow(str(i), caption, None, [flat("red")]) for i, caption in enumerate(captions)]
    image_grid(["base"], rows, tmp_path / "a")
    image_grid(["base"], rows, tmp_path / "b")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    with Image.open(tmp_path / "a.png") as image:
        # No caption, however long, makes its row taller.
        image_grid(["base"], [GridRow("0", "a", None, [flat("red")])] * len(captions), tmp_path / "c")
        with Image.open(tmp_path / "c.png") as short:
            assert image.size == short.size
        # And none runs into the images: between them and the text is white.
        pixels = np.asarray(image.convert("L"))
        reds = np.argwhere((np.asarray(image.convert("RGB")) == (255, 0, 0)).all(axis=2))
        left = reds[:, 1].min()
        assert (pixels[:, left - 8 : left] == 255).all()


def test_the_grid_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="prompt 7: 1 images for 2 arms"):
        image_grid(["a", "b"], [GridRow("7", "x", None, [flat("red")])], "/nonexistent/x")
    with pytest.raises(InputError, match="no image"):
        image_grid(["a"], [], "/nonexistent/x")


def test_arms_of_equal_scale_stand_side_by_side() -> None:
    arms = [Arm(model, scale, {}) for model in ("base", "tuned") for scale in (1.0, 3.0)] + [Arm("closed", None, {})]
    order = [(arm.model, arm.guidance_scale) for arm in side_by_side(arms)]
    assert order == [("closed", None), ("base", 1), ("tuned", 1), ("base", 3), ("tuned", 3)]


def test_the_gallery_is_a_matrix_of_models_and_scales() -> None:
    arms = [Arm(model, scale, {}) for model in ("base", "tuned") for scale in (1.0, 3.0, 5.0)]
    assert matrix_of(arms) == (3, [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)])
    # More models than scales: models across. One without a scale takes no row of its own.
    many = [Arm(model, scale, {}) for model in ("a", "b", "c") for scale in (1.0, 3.0)] + [Arm("floor", None, {})]
    assert matrix_of(many) == (4, [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3), (2, 3), (1, 4)])
    assert matrix_of([Arm("closed", None, {})]) == (1, [(1, 1)])
